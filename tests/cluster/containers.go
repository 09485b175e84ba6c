// One container: the host process that its command names, started again as the restart policy says, with a log
// that can be followed and a terminal or stdin that can be attached to. Without a command it is idle: running,
// with an empty log, there to be exec'd into.
package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

type container struct {
	pod    *pod
	spec   v1.Container
	policy v1.RestartPolicy
	folder string
	// stopping is closed to ask the container to end, done once it has ended for good.
	stopping, done chan struct{}
	stopOnce       sync.Once
	input          *io.PipeWriter // the process's stdin, when the spec asks for one
	inputReader    *io.PipeReader

	mu            sync.Mutex
	log, previous *logbook
	process       *process
	over          chan struct{} // closed at the end of this run of the process, replaced at a restart
	attached      []io.Writer
	state, last   v1.ContainerState
	restarts      int32
	ended         bool
}

func startContainer(p *pod, spec v1.Container, policy v1.RestartPolicy) *container {
	c := &container{
		pod: p, spec: spec, policy: policy, folder: filepath.Join(p.folder, spec.Name),
		stopping: make(chan struct{}), done: make(chan struct{}), over: make(chan struct{}),
		log: newLogbook(),
	}
	c.state.Running = &v1.ContainerStateRunning{StartedAt: metav1.Now()}
	c.inputReader, c.input = io.Pipe()
	os.MkdirAll(c.folder, 0o700)
	go c.live()
	return c
}

// live runs the process as often as the policy wants it.
func (c *container) live() {
	defer close(c.done)
	command := slices.Concat(c.spec.Command, c.spec.Args)
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		if len(command) == 0 {
			<-c.stopping
			c.finish(0, time.Now())
			return
		}
		began := time.Now()
		code := c.once(command)
		again := c.policy == v1.RestartPolicyAlways || c.policy == v1.RestartPolicyOnFailure && code != 0
		if c.isStopping() || !again {
			c.finish(code, began)
			return
		}
		c.between(code, began)
		select {
		case <-c.stopping:
			c.finish(code, began)
			return
		case <-time.After(wait):
		}
		c.restarted()
	}
}

// once runs the process to its end and returns its exit code.
func (c *container) once(command []string) int {
	c.mu.Lock()
	book := c.log
	c.mu.Unlock()
	request := c.command(command)
	request.tty = c.spec.TTY
	if c.spec.Stdin {
		request.stdin = c.inputReader
	}
	out, err := book.writer(), book.writer()
	request.stdout = io.MultiWriter(out, toAttached{c})
	request.stderr = io.MultiWriter(err, toAttached{c})
	defer book.close(out, err)
	process, failure := start(request)
	if failure != nil {
		io.WriteString(err, failure.Error()+"\n")
		return 127
	}
	c.mu.Lock()
	c.process = process
	c.mu.Unlock()
	if c.isStopping() {
		process.signal(syscall.SIGTERM)
	}
	return process.wait()
}

func (c *container) isStopping() bool {
	select {
	case <-c.stopping:
		return true
	default:
		return false
	}
}

func (c *container) terminated(code int, began time.Time) v1.ContainerState {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	return v1.ContainerState{Terminated: &v1.ContainerStateTerminated{
		ExitCode: int32(code), Reason: reason, StartedAt: metav1.NewTime(began), FinishedAt: metav1.Now(),
		ContainerID: containerID(c.pod, c.spec.Name, c.restarts),
	}}
}

func (c *container) finish(code int, began time.Time) {
	c.mu.Lock()
	if c.state.Running != nil {
		close(c.over)
	}
	c.state, c.ended, c.process = c.terminated(code, began), true, nil
	book := c.log
	c.mu.Unlock()
	book.close()
	c.pod.wake()
}

func (c *container) between(code int, began time.Time) {
	c.mu.Lock()
	close(c.over)
	c.last = c.terminated(code, began)
	c.state = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}
	c.process = nil
	c.mu.Unlock()
	c.pod.wake()
}

func (c *container) restarted() {
	c.mu.Lock()
	c.restarts++
	c.previous, c.log, c.over = c.log, newLogbook(), make(chan struct{})
	c.state = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.Now()}}
	c.mu.Unlock()
	c.pod.wake()
}

// status also says whether the container has ended for good.
func (c *container) status() (v1.ContainerStatus, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := c.state.Running != nil
	return v1.ContainerStatus{
		Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image, State: c.state, LastTerminationState: c.last,
		Ready: running, Started: &running, RestartCount: c.restarts, ContainerID: containerID(c.pod, c.spec.Name, c.restarts),
	}, c.ended
}

func (c *container) stop() {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.signal(syscall.SIGTERM)
}

func (c *container) kill() {
	c.stopOnce.Do(func() { close(c.stopping) })
	c.signal(syscall.SIGKILL)
}

func (c *container) signal(signal syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		c.process.signal(signal)
	}
}

// book is the log of this run of the container, or of the one before it.
func (c *container) book(previous bool) *logbook {
	c.mu.Lock()
	defer c.mu.Unlock()
	if previous {
		return c.previous
	}
	return c.log
}

// attach hands every further byte of output to the writer until detach is called; over tells when this run ends.
func (c *container) attach(writer io.Writer) (over <-chan struct{}, detach func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attached = append(c.attached, writer)
	return c.over, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.attached = slices.DeleteFunc(c.attached, func(other io.Writer) bool { return other == writer })
	}
}

// toAttached fans output out. A writer that fails has gone away and is not the process's concern.
type toAttached struct{ c *container }

func (t toAttached) Write(data []byte) (int, error) {
	t.c.mu.Lock()
	writers := slices.Clone(t.c.attached)
	t.c.mu.Unlock()
	for _, writer := range writers {
		writer.Write(data)
	}
	return len(data), nil
}

// command is the process that runs in this container: in its folder, with its literal environment.
func (c *container) command(argv []string) command {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.folder, "HOSTNAME=" + c.pod.name, "LANG=C.UTF-8",
		"POD_NAME=" + c.pod.name, "POD_NAMESPACE=" + c.pod.namespace,
	}
	for _, variable := range c.spec.Env {
		if variable.ValueFrom == nil && !strings.ContainsRune(variable.Name, '=') {
			env = append(env, variable.Name+"="+variable.Value)
		}
	}
	return command{argv: argv, env: env, folder: c.folder}
}

func (c *container) resize(width, height uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process != nil {
		c.process.resize(width, height)
	}
}
