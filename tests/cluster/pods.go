// One pod on a node: starts its containers, says so in its status, takes it down when it is deleted.
// It promises the life that kubectl shows (phases, readiness, restarts, graceful deletion). Images, volumes,
// probes, init containers and isolation are left out: a container is a process of this host, in its own folder.
package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/klog/v2"
)

type pod struct {
	agent           *agent
	namespace, name string
	uid             types.UID
	folder          string
	started         metav1.Time
	// changed wakes run; one waiting signal stands for any number of changes.
	changed chan struct{}

	mu         sync.Mutex
	object     *v1.Pod
	containers []*container
	ephemeral  []*container
	gone       bool
}

func newPod(a *agent, object *v1.Pod) *pod {
	return &pod{
		agent: a, namespace: object.Namespace, name: object.Name, uid: object.UID,
		folder: filepath.Join(a.dir, string(object.UID)), started: metav1.Now(), changed: make(chan struct{}, 1),
	}
}

func (p *pod) update(object *v1.Pod) {
	p.mu.Lock()
	p.object = object
	p.mu.Unlock()
	p.wake()
}

func (p *pod) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// run follows the pod until it is gone.
func (p *pod) run(ctx context.Context) {
	var last string
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.changed:
		}
		p.mu.Lock()
		object, gone := p.object, p.gone
		p.mu.Unlock()
		if gone {
			return
		}
		if object.DeletionTimestamp != nil {
			p.takeDown(ctx, object)
			return
		}
		p.startMissing(object)
		last = p.publish(ctx, last)
	}
}

// startMissing starts every container of the spec that does not exist yet: all of them the first time, later the
// ephemeral ones that `kubectl debug` adds.
func (p *pod) startMissing(object *v1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.containers) == 0 {
		for _, spec := range object.Spec.Containers {
			p.containers = append(p.containers, startContainer(p, spec, object.Spec.RestartPolicy))
		}
	}
	for _, spec := range object.Spec.EphemeralContainers[len(p.ephemeral):] {
		p.ephemeral = append(p.ephemeral, startContainer(p, v1.Container(spec.EphemeralContainerCommon), v1.RestartPolicyNever))
	}
}

func (p *pod) container(name string) *container {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, group := range [][]*container{p.containers, p.ephemeral} {
		for _, c := range group {
			if c.spec.Name == name {
				return c
			}
		}
	}
	return nil
}

func (p *pod) all() []*container {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(append([]*container{}, p.containers...), p.ephemeral...)
}

// publish writes the status if it says something new, and returns what it says.
func (p *pod) publish(ctx context.Context, last string) string {
	p.mu.Lock()
	status := p.status()
	p.mu.Unlock()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": p.uid}, "status": status})
	if err != nil || string(patch) == last {
		return last
	}
	_, err = p.agent.client.CoreV1().Pods(p.namespace).
		Patch(ctx, p.name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		klog.ErrorS(err, "status", "pod", p.namespace+"/"+p.name)
		time.AfterFunc(time.Second, p.wake)
		return last
	}
	return string(patch)
}

func (p *pod) status() v1.PodStatus {
	status := v1.PodStatus{
		Phase: v1.PodRunning, StartTime: &p.started, QOSClass: p.object.Status.QOSClass,
		HostIP: "127.0.0.1", HostIPs: []v1.HostIP{{IP: "127.0.0.1"}},
		PodIP: "127.0.0.1", PodIPs: []v1.PodIP{{IP: "127.0.0.1"}},
	}
	ready, ended, failed := true, 0, false
	for _, c := range p.containers {
		one, final := c.status()
		status.ContainerStatuses = append(status.ContainerStatuses, one)
		ready = ready && one.Ready
		if final {
			ended++
			failed = failed || one.State.Terminated.ExitCode != 0
		}
	}
	for _, c := range p.ephemeral {
		one, _ := c.status()
		status.EphemeralContainerStatuses = append(status.EphemeralContainerStatuses, one)
	}
	if ended == len(p.containers) {
		status.Phase = v1.PodSucceeded
		if failed {
			status.Phase = v1.PodFailed
		}
	}
	for _, condition := range []struct {
		kind v1.PodConditionType
		met  bool
	}{{v1.PodScheduled, true}, {v1.PodInitialized, true}, {v1.ContainersReady, ready}, {v1.PodReady, ready}} {
		met := v1.ConditionFalse
		if condition.met {
			met = v1.ConditionTrue
		}
		status.Conditions = append(status.Conditions, v1.PodCondition{
			Type: condition.kind, Status: met, LastTransitionTime: p.started,
		})
	}
	return status
}

// takeDown asks the processes to end, waits as long as the pod's grace says, kills what is left, and only then
// lets the object go, as a kubelet does.
func (p *pod) takeDown(ctx context.Context, object *v1.Pod) {
	grace := 30 * time.Second
	if seconds := object.DeletionGracePeriodSeconds; seconds != nil {
		grace = time.Duration(*seconds) * time.Second
	}
	containers := p.all()
	for _, c := range containers {
		c.stop()
	}
	expired := time.After(grace)
	for _, c := range containers {
		select {
		case <-c.done:
		case <-expired:
			p.kill()
		case <-ctx.Done():
			return
		}
	}
	p.kill()
	now := int64(0)
	err := p.agent.client.CoreV1().Pods(p.namespace).Delete(ctx, p.name, metav1.DeleteOptions{
		GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.uid},
	})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		klog.ErrorS(err, "delete", "pod", p.namespace+"/"+p.name)
	}
}

// kill ends every process of the pod at once.
func (p *pod) kill() {
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	for _, c := range p.all() {
		c.kill()
	}
	p.wake()
}

func containerID(p *pod, name string, restarts int32) string {
	return "host-process://" + string(p.uid) + "/" + name + "/" + strconv.Itoa(int(restarts))
}
