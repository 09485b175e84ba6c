// Host processes: what containers run and what exec runs, with pipes or on a pseudo-terminal.
// It promises that a process's whole group ends with it, that killEverything leaves none, and that even a SIGKILL
// of this program takes the group leaders along. It isolates nothing.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

type command struct {
	argv, env      []string
	folder         string
	tty            bool
	stdin          io.Reader // nil for none
	stdout, stderr io.Writer // nil for nowhere; with a tty, all is stdout
}

type process struct {
	cmd      *exec.Cmd
	terminal *os.File
	drained  chan struct{} // closed when the terminal's output has all been copied
}

var running = struct {
	sync.Mutex
	closed    bool
	processes map[*process]bool
}{processes: map[*process]bool{}}

func start(c command) (*process, error) {
	path, err := exec.LookPath(c.argv[0])
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: c.argv, Env: c.env, Dir: c.folder}
	// Setpgid or Setsid makes the process a group leader, so that one signal reaches all it starts.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: !c.tty, Setsid: c.tty, Setctty: c.tty, Pdeathsig: syscall.SIGKILL}
	p := &process{cmd: cmd, drained: make(chan struct{})}
	running.Lock()
	defer running.Unlock()
	if running.closed {
		return nil, errors.New("the cluster is shutting down")
	}
	if c.tty {
		err = p.startOnTerminal(c)
	} else {
		err = p.startOnPipes(c)
	}
	if err != nil {
		return nil, err
	}
	running.processes[p] = true
	return p, nil
}

func (p *process) startOnPipes(c command) error {
	close(p.drained)
	p.cmd.Stdout, p.cmd.Stderr = c.stdout, c.stderr
	if c.stdin == nil {
		return p.cmd.Start()
	}
	// Not cmd.Stdin: wait would then last until the client closes its side, even when the process has ended.
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return err
	}
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		io.Copy(stdin, c.stdin)
		stdin.Close()
	}()
	return nil
}

func (p *process) startOnTerminal(c command) error {
	master, slave, err := openTerminal()
	if err != nil {
		return err
	}
	defer slave.Close()
	p.terminal = master
	p.cmd.Env = append(p.cmd.Env, "TERM=xterm")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	if err := p.cmd.Start(); err != nil {
		master.Close()
		return err
	}
	go func() {
		defer close(p.drained)
		if c.stdout != nil {
			io.Copy(c.stdout, master)
		} else {
			io.Copy(io.Discard, master)
		}
	}()
	if c.stdin != nil {
		go func() {
			io.Copy(master, c.stdin)
			master.Write([]byte{4}) // what ^D sends: a terminal has no other end of input
		}()
	}
	return nil
}

// wait returns the exit code, once all output has been handed on.
func (p *process) wait() int {
	err := p.cmd.Wait()
	// What the process left in the background does not outlive it.
	p.signal(syscall.SIGKILL)
	if p.terminal != nil {
		select {
		case <-p.drained:
		case <-time.After(5 * time.Second):
		}
		p.terminal.Close()
	}
	running.Lock()
	delete(running.processes, p)
	running.Unlock()
	state := p.cmd.ProcessState
	if state == nil {
		return 126
	}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	if code := state.ExitCode(); code != 0 || err == nil {
		return code
	}
	return 0
}

// signal reaches the whole group. After wait it does nothing: the number may be another's by then.
func (p *process) signal(signal syscall.Signal) {
	running.Lock()
	defer running.Unlock()
	if running.processes[p] {
		syscall.Kill(-p.cmd.Process.Pid, signal)
	}
}

func (p *process) resize(width, height uint16) {
	if p.terminal == nil {
		return
	}
	control(p.terminal, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height})
	})
}

// killEverything ends every process that is left and lets no other start.
func killEverything() {
	running.Lock()
	defer running.Unlock()
	running.closed = true
	for p := range running.processes {
		syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	}
}

func openTerminal() (master, slave *os.File, err error) {
	master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			master.Close()
		}
	}()
	var number int
	err = control(master, func(fd int) (err error) {
		if number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err != nil {
			return err
		}
		return unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	})
	if err != nil {
		return nil, nil, err
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	return master, slave, err
}

// control lends the descriptor out without what Fd does: turn the file blocking, so that Close no longer ends reads.
func control(file *os.File, use func(fd int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = use(int(fd)) }); err != nil {
		return err
	}
	return result
}
