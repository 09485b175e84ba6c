// What is in the cluster when it says READY: the manifest under test, applied as an administrator would, and the
// demo seed. Rights that a manifest binds to a service account are bound to the user access-broker too, so
// that broker.kubeconfig holds exactly the rights that the product ships, and none of the test's making.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	authorization "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

//go:embed demo.yaml
var demo []byte

type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
}

func seed(ctx context.Context, config *rest.Config, s settings) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	objects, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	a := &applier{objects, restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))}
	if s.manifest != "" {
		text, err := os.ReadFile(s.manifest)
		if err != nil {
			return err
		}
		if err := a.applyAll(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", s.manifest, err)
		}
	}
	if s.seed == "demo" {
		if err := a.applyAll(ctx, demo); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	for _, awaited := range []struct {
		what string
		met  func(context.Context) bool
	}{
		{"default service account", func(ctx context.Context) bool { return hasDefaultAccount(ctx, client) }},
		{"role view", func(ctx context.Context) bool { return s.seed != "demo" || developersMayLook(ctx, client) }},
		{"running pods", func(ctx context.Context) bool { return allPodsRun(ctx, client) }},
	} {
		if err := poll(ctx, func(ctx context.Context) (bool, error) { return awaited.met(ctx), nil }); err != nil {
			return fmt.Errorf("no %s: %w", awaited.what, err)
		}
	}
	return nil
}

// What controllers and nodes fill in after the seed is applied. Whoever reads READY must not race with it.

// hasDefaultAccount: without its service account a namespace takes no pods.
func hasDefaultAccount(ctx context.Context, client kubernetes.Interface) bool {
	_, err := client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
	return err == nil
}

// developersMayLook: the role view is empty at first, and the authorizer learns of every binding a moment later.
// The binding asked about here is the last that was applied, so the authorizer knows the others too.
func developersMayLook(ctx context.Context, client kubernetes.Interface) bool {
	review, err := client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorization.SubjectAccessReview{
		Spec: authorization.SubjectAccessReviewSpec{
			Groups:             []string{"demo:devs"},
			ResourceAttributes: &authorization.ResourceAttributes{Verb: "list", Resource: "pods"},
		},
	}, metav1.CreateOptions{})
	return err == nil && review.Status.Allowed
}

func allPodsRun(ctx context.Context, client kubernetes.Interface) bool {
	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Running"})
	return err == nil && len(pods.Items) == 0
}

func (a *applier) applyAll(ctx context.Context, text []byte) error {
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		if err := documents.Decode(&object.Object); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(object.Object) == 0 {
			continue // comments alone
		}
		for _, object := range []*unstructured.Unstructured{object, forBroker(object)} {
			if object == nil {
				continue
			}
			if err := a.apply(ctx, object); err != nil {
				return fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
			}
		}
	}
}

// apply is a server-side apply, repeated while a namespace's service account is still on its way.
func (a *applier) apply(ctx context.Context, object *unstructured.Unstructured) error {
	kind := object.GroupVersionKind()
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return err
	}
	var resource dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		if object.GetNamespace() == "" {
			object.SetNamespace(metav1.NamespaceDefault)
		}
		resource = a.client.Resource(mapping.Resource).Namespace(object.GetNamespace())
	}
	return poll(ctx, func(ctx context.Context) (bool, error) {
		_, err := resource.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "cluster", Force: true})
		if err != nil && strings.Contains(err.Error(), "error looking up service account") {
			return false, nil
		}
		return err == nil, err
	})
}

// forBroker is the copy of a binding whose subject is access-broker instead of the service account; nil for
// everything that binds no service account.
func forBroker(object *unstructured.Unstructured) *unstructured.Unstructured {
	if kind := object.GetKind(); kind != "ClusterRoleBinding" && kind != "RoleBinding" {
		return nil
	}
	subjects, _, _ := unstructured.NestedSlice(object.Object, "subjects")
	for _, subject := range subjects {
		if subject, ok := subject.(map[string]any); ok && subject["kind"] == "ServiceAccount" {
			binding := object.DeepCopy()
			binding.SetName(object.GetName() + "-" + brokerUser)
			binding.Object["subjects"] = []any{map[string]any{
				"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": brokerUser,
			}}
			return binding
		}
	}
	return nil
}

func poll(ctx context.Context, done wait.ConditionWithContextFunc) error {
	return wait.PollUntilContextTimeout(ctx, 25*time.Millisecond, 30*time.Second, true, done)
}
