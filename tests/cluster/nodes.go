// The two make-believe nodes and the scheduler between them. node-ws declares that it speaks WebSocket itself, as
// kubelets of 1.36 do, so the API server passes exec through to it; node-spdy does not, so the API server
// translates. Pods that name no node go to the first node that their hostname selector and cordons allow.
package main

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	componentversion "k8s.io/component-base/version"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/features"
)

var nodeNames = []string{"node-ws", "node-spdy"}

// agent does for both nodes what a scheduler and kubelets do.
type agent struct {
	client kubernetes.Interface
	dir    string

	mu   sync.Mutex
	pods map[types.UID]*pod
}

// startNodes registers the nodes and returns once both are Ready and pods are watched.
func startNodes(ctx context.Context, config *rest.Config, keys *keys, dir string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	a := &agent{client: client, dir: filepath.Join(dir, "state", "pods"), pods: map[types.UID]*pod{}}
	for _, name := range nodeNames {
		node := &node{name: name, agent: a, speaksWebSocket: name == "node-ws"}
		if err := node.serve(keys); err != nil {
			return err
		}
		if err := node.register(ctx); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	// The resync is what retries a pod that no node would take.
	factory := informers.NewSharedInformerFactory(client, 10*time.Second)
	informer := factory.Core().V1().Pods().Informer()
	informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { a.seen(ctx, object.(*v1.Pod)) },
		UpdateFunc: func(_, object any) { a.seen(ctx, object.(*v1.Pod)) },
		DeleteFunc: func(object any) {
			if tombstone, ok := object.(cache.DeletedFinalStateUnknown); ok {
				object = tombstone.Obj
			}
			a.forget(object.(*v1.Pod))
		},
	})
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return ctx.Err()
	}
	return nil
}

// seen takes in one version of a pod. It never blocks on the API server: the watch must go on.
func (a *agent) seen(ctx context.Context, object *v1.Pod) {
	if object.Spec.NodeName == "" {
		if object.DeletionTimestamp == nil && len(object.Spec.SchedulingGates) == 0 {
			go a.schedule(ctx, object)
		}
		return
	}
	if object.Status.Phase == v1.PodSucceeded || object.Status.Phase == v1.PodFailed {
		if object.DeletionTimestamp == nil {
			return
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	known, ok := a.pods[object.UID]
	if !ok {
		known = newPod(a, object)
		a.pods[object.UID] = known
		go known.run(ctx)
	}
	known.update(object)
}

func (a *agent) forget(object *v1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if known, ok := a.pods[object.UID]; ok {
		known.kill()
		delete(a.pods, object.UID)
	}
}

// find is how the kubelet API looks a container up.
func (a *agent) find(namespace, name, containerName string) (*container, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, pod := range a.pods {
		if pod.namespace == namespace && pod.name == name {
			if container := pod.container(containerName); container != nil {
				return container, nil
			}
		}
	}
	return nil, fmt.Errorf("no container %s in pod %s/%s on this node", containerName, namespace, name)
}

func (a *agent) schedule(ctx context.Context, pod *v1.Pod) {
	for _, name := range nodeNames {
		if wanted := pod.Spec.NodeSelector[v1.LabelHostname]; wanted != "" && wanted != name {
			continue
		}
		node, err := a.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if err != nil || node.Spec.Unschedulable {
			continue
		}
		err = a.client.CoreV1().Pods(pod.Namespace).Bind(ctx, &v1.Binding{
			ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
			Target:     v1.ObjectReference{Kind: "Node", Name: name},
		}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			klog.ErrorS(err, "bind", "pod", klog.KObj(pod), "node", name)
		}
		return
	}
}

func (n *node) register(ctx context.Context) error {
	nodes := n.agent.client.CoreV1().Nodes()
	room := v1.ResourceList{
		v1.ResourceCPU:    resource.MustParse("8"),
		v1.ResourceMemory: resource.MustParse("16Gi"),
		v1.ResourcePods:   resource.MustParse("110"),
	}
	now := metav1.Now()
	node, err := nodes.Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:   n.name,
		Labels: map[string]string{v1.LabelHostname: n.name, v1.LabelOSStable: runtime.GOOS, v1.LabelArchStable: runtime.GOARCH},
	}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	// Admission taints every new node as not ready and leaves the removal to a controller that is not here.
	node.Spec.Taints = nil
	if node, err = nodes.Update(ctx, node, metav1.UpdateOptions{}); err != nil {
		return err
	}
	node.Status = v1.NodeStatus{
		Capacity:    room,
		Allocatable: room,
		Conditions: []v1.NodeCondition{{
			Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "NodeReady", LastHeartbeatTime: now, LastTransitionTime: now,
		}},
		Addresses: []v1.NodeAddress{
			{Type: v1.NodeInternalIP, Address: "127.0.0.1"},
			{Type: v1.NodeHostName, Address: n.name},
		},
		DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: n.port}},
		NodeInfo: v1.NodeSystemInfo{
			KubeletVersion: componentversion.Get().GitVersion, ContainerRuntimeVersion: "host-process://1",
			OperatingSystem: runtime.GOOS, Architecture: runtime.GOARCH, OSImage: "host process", KernelVersion: "host",
		},
	}
	if n.speaksWebSocket {
		node.Status.DeclaredFeatures = []string{string(features.ExtendWebSocketsToKubelet)}
	}
	_, err = nodes.UpdateStatus(ctx, node, metav1.UpdateOptions{})
	return err
}
