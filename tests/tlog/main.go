// Checks notes and proofs of Bailiwick's audit log with the Go project's own packages, which know nothing of Bailiwick.
// Reads a JSON array of questions from standard input, and writes a JSON array of answers: "" for yes, or why not.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// A question is one of three, by its kind. Hashes are in hex, leaf bytes in base64.
type question struct {
	Kind   string // "note", "inclusion" or "consistency"
	Key    string // note: the verifier key
	Note   string // note: the signed note, whose text must state Size and Root
	Leaf   []byte // inclusion: the leaf bytes
	Index  int64  // inclusion
	Old    int64  // consistency
	Before string // consistency: the old root
	Size   int64
	Root   string
	Hashes []string // inclusion and consistency: the proof
}

func main() {
	var questions []question
	if err := json.NewDecoder(os.Stdin).Decode(&questions); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	answers := []string{}
	for _, question := range questions {
		answer := ""
		if err := question.check(); err != nil {
			answer = err.Error()
		}
		answers = append(answers, answer)
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		os.Exit(2)
	}
}

func (q question) check() error {
	root, err := hash(q.Root)
	if err != nil {
		return err
	}
	var proof []tlog.Hash
	for _, step := range q.Hashes {
		step, err := hash(step)
		if err != nil {
			return err
		}
		proof = append(proof, step)
	}
	switch q.Kind {
	case "note":
		return q.checkNote(root)
	case "inclusion":
		return tlog.CheckRecord(proof, q.Size, root, q.Index, tlog.RecordHash(q.Leaf))
	case "consistency":
		before, err := hash(q.Before)
		if err != nil {
			return err
		}
		return tlog.CheckTree(proof, q.Size, root, q.Old, before)
	}
	return fmt.Errorf("no such kind: %q", q.Kind)
}

func (q question) checkNote(root tlog.Hash) error {
	verifier, err := note.NewVerifier(q.Key)
	if err != nil {
		return err
	}
	opened, err := note.Open([]byte(q.Note), note.VerifierList(verifier))
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s\n%d\n%s\n", verifier.Name(), q.Size, base64.StdEncoding.EncodeToString(root[:]))
	if opened.Text != text {
		return fmt.Errorf("the note states %q, not %q", opened.Text, text)
	}
	return nil
}

func hash(text string) (tlog.Hash, error) {
	var hash tlog.Hash
	raw, err := hex.DecodeString(text)
	if err == nil && len(raw) != len(hash) {
		err = fmt.Errorf("a hash has %d bytes", len(raw))
	}
	copy(hash[:], raw)
	return hash, err
}
