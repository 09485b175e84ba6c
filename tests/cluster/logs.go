// A container's log, kept in memory: lines with the time at which each was complete, readable from any point and
// while they come. It promises that a follower sees a line as soon as it is written. It forgets the oldest lines
// beyond a bound instead of growing for ever.
package main

import (
	"bytes"
	"context"
	"io"
	"sync"
	"time"
)

const (
	mostLines   = 100_000
	longestLine = 64 << 10 // a longer one is split
)

type line struct {
	at   time.Time
	text []byte // with its newline, unless the output ended without one
}

type logbook struct {
	mu      sync.Mutex
	lines   []line
	dropped int // how many lines were forgotten; positions count them
	closed  bool
	grown   chan struct{} // closed and replaced at every change
}

// reading is what a client of the kubelet API may ask for.
type reading struct {
	follow, timestamps bool
	tail               int // -1 for all
	since              time.Time
	limit              int64 // bytes, -1 for all
}

func newLogbook() *logbook { return &logbook{grown: make(chan struct{})} }

// writer cuts one stream into lines; stdout and stderr have one each, so that they do not cut into each other.
func (b *logbook) writer() *lineWriter { return &lineWriter{book: b} }

type lineWriter struct {
	book    *logbook
	partial []byte
}

func (w *lineWriter) Write(data []byte) (int, error) {
	w.partial = append(w.partial, data...)
	for {
		end := bytes.IndexByte(w.partial, '\n') + 1
		if end == 0 && len(w.partial) > longestLine {
			end = longestLine
		}
		if end == 0 {
			return len(data), nil
		}
		w.book.append(bytes.Clone(w.partial[:end]))
		w.partial = w.partial[end:]
	}
}

func (b *logbook) append(text []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, line{time.Now(), text})
	if len(b.lines) > mostLines {
		forget := mostLines / 10
		b.lines = append([]line(nil), b.lines[forget:]...)
		b.dropped += forget
	}
	b.announce()
}

// close ends the log; what the writers hold without a newline becomes its last lines.
func (b *logbook) close(writers ...*lineWriter) {
	for _, w := range writers {
		if len(w.partial) > 0 {
			b.append(w.partial)
			w.partial = nil
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.announce()
}

func (b *logbook) announce() {
	close(b.grown)
	b.grown = make(chan struct{})
}

// after returns the lines from a position on, the next position, whether more can come, and what tells of it.
func (b *logbook) after(position int) (lines []line, next int, open bool, grown <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := min(max(position-b.dropped, 0), len(b.lines))
	return b.lines[from:], b.dropped + len(b.lines), !b.closed, b.grown
}

// send writes what was asked for, and flushes whenever it would wait.
func (b *logbook) send(ctx context.Context, w io.Writer, flush func(), r reading) {
	lines, next, open, grown := b.after(0)
	if r.tail >= 0 && len(lines) > r.tail {
		lines = lines[len(lines)-r.tail:]
	}
	for {
		for _, line := range lines {
			if line.at.Before(r.since) {
				continue
			}
			text := line.text
			if r.timestamps {
				text = append([]byte(line.at.UTC().Format(time.RFC3339Nano)+" "), text...)
			}
			if r.limit >= 0 {
				text = text[:min(int64(len(text)), r.limit)]
				r.limit -= int64(len(text))
			}
			if _, err := w.Write(text); err != nil || r.limit == 0 {
				return
			}
		}
		flush()
		if !r.follow || !open {
			return
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return
		}
		lines, next, open, grown = b.after(next)
	}
}
