// Package helm tries the chart beside it: what Helm renders of it is decoded strictly into the types of
// Kubernetes, and the settings in it are read by the agent.
package helm

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

const chart = "vggse-agent"

// pod is where to write the pod of the chart with its ConfigMaps, for a program that can run it.
var pod = flag.String("pod", "", "write the pod that 'podman kube play' takes into this file")

// render is what Helm makes of the chart with an owner's values, by file.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := yaml.Unmarshal([]byte(values), &v); err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, v, chartutil.ReleaseOptions{Name: "edge", Namespace: "vision",
		IsInstall: true, Revision: 1}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// rendered is the pod's owner and the ConfigMaps: everything in the chart, decoded strictly.
type rendered struct {
	set  *apps.DaemonSet
	maps map[string]*core.ConfigMap
}

func decode(t *testing.T, files map[string]string) rendered {
	t.Helper()
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	r := rendered{maps: map[string]*core.ConfigMap{}}
	for name, text := range files {
		for _, document := range strings.Split(text, "\n---\n") {
			if strings.TrimSpace(document) == "" {
				continue
			}
			object, _, err := strict.Decode([]byte(document), nil, nil)
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, document)
			}
			switch o := object.(type) {
			case *apps.DaemonSet:
				r.set = o
			case *core.ConfigMap:
				r.maps[o.Name] = o
			default:
				t.Errorf("%s: %T was not expected", name, o)
			}
		}
	}
	return r
}

// tagged is the least that an owner says.
const tagged = "image: {tag: v1.2.3}\n"

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// everything that can be set is set.
const everything = `
image: {repository: r.example/a, digest: "sha256:` + zeros + `",
  pullPolicy: Always, pullSecrets: [pull]}
config:
  device: {groups: [line3]}
  mqtt: {broker: "ssl://broker:8883", user: edge, password_file: /run/secrets/vggse-agent/mqtt}
  cameras: [{name: belt, source: "rtsp://camera.example/stream"}]
  update: {from: registry.example/factory}
trust:
  factory.pub: |
    untrusted comment: minisign public key 1
    RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
  revoked: |
    # nothing yet
secret: vggse
state: /data/vggse
cache: /data/cache
gpu: {runtimeClassName: nvidia, onnxruntime: /opt/vggse-agent/runtimes/jetpack6}
devices: {resources: {squat.ai/video: 1, nvidia.com/gpu: 1}, groups: [44, 104]}
resources: {limits: {memory: 4Gi}}
maxUnavailable: 1
terminationGracePeriodSeconds: 30
startup: 90m
nodeSelector: {camera: "yes"}
tolerations: [{key: edge, operator: Exists}]
affinity: {nodeAffinity: {}}
priorityClassName: system-node-critical
hostNetwork: true
podAnnotations: {a: b}
`

func TestChart(t *testing.T) {
	for name, values := range map[string]string{"the least": tagged, "everything": everything} {
		t.Run(name, func(t *testing.T) {
			files, err := render(t, values)
			if err != nil {
				t.Fatal(err)
			}
			r := decode(t, files)
			if r.set == nil || len(r.maps) == 0 {
				t.Fatalf("rendered: %v", files)
			}
			harmless(t, &r.set.Spec.Template.Spec)
			whole(t, &r)
			settings(t, r.maps[r.set.Name].Data["vggse-agent.yaml"])
		})
	}
}

// harmless holds the pod against what it promises: no privileges, one capability in one container that ends.
func harmless(t *testing.T, p *core.PodSpec) {
	t.Helper()
	if p.HostPID || p.HostIPC || p.ServiceAccountName != "" || p.AutomountServiceAccountToken == nil ||
		*p.AutomountServiceAccountToken {
		t.Error("the pod shares too much with its node or its cluster")
	}
	if p.SecurityContext.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault {
		t.Error("any system call is allowed")
	}
	for _, c := range slices.Concat(p.InitContainers, p.Containers) {
		s := c.SecurityContext
		if s == nil || s.Privileged != nil && *s.Privileged || *s.AllowPrivilegeEscalation ||
			!*s.ReadOnlyRootFilesystem || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
			t.Errorf("%s has rights that it does not need: %+v", c.Name, s)
		}
	}
	if agent := p.Containers[0].SecurityContext; *agent.RunAsUser != 10001 || !*agent.RunAsNonRoot ||
		len(agent.Capabilities.Add) > 0 {
		t.Errorf("the agent is more than a user: %+v", agent)
	}
	if first := p.InitContainers[0].SecurityContext; !slices.Equal(first.Capabilities.Add, []core.Capability{"CHOWN"}) {
		t.Errorf("the first container may %v", first.Capabilities.Add)
	}
}

// whole looks that what is mounted is there, and that nothing is there for nothing.
func whole(t *testing.T, r *rendered) {
	t.Helper()
	p := &r.set.Spec.Template.Spec
	if !slices.Equal(slices.Sorted(keys(r.set.Spec.Selector.MatchLabels)), []string{"app.kubernetes.io/instance",
		"app.kubernetes.io/name"}) {
		t.Errorf("selected by %v", r.set.Spec.Selector.MatchLabels)
	}
	for k, v := range r.set.Spec.Selector.MatchLabels {
		if r.set.Spec.Template.Labels[k] != v {
			t.Errorf("the pods have no label %s", k)
		}
	}
	mounted := map[string]bool{}
	for _, m := range p.Containers[0].VolumeMounts {
		mounted[m.Name] = true
		if !slices.ContainsFunc(p.Volumes, func(v core.Volume) bool { return v.Name == m.Name }) {
			t.Errorf("%s is no volume", m.Name)
		}
	}
	for _, v := range p.Volumes {
		if !mounted[v.Name] {
			t.Errorf("the volume %s is not used", v.Name)
		}
		if v.ConfigMap == nil {
			continue
		}
		data := r.maps[v.ConfigMap.Name]
		if data == nil {
			t.Fatalf("no ConfigMap %s", v.ConfigMap.Name)
		}
		for _, m := range p.Containers[0].VolumeMounts {
			if m.Name == v.Name && (data.Data[m.SubPath] == "" || !m.ReadOnly) {
				t.Errorf("%s is not in the ConfigMap, or may be written", m.SubPath)
			}
		}
	}
	for _, probe := range []*core.Probe{p.Containers[0].StartupProbe, p.Containers[0].LivenessProbe,
		p.Containers[0].ReadinessProbe} {
		if probe.HTTPGet.Port.StrVal != p.Containers[0].Ports[0].Name || probe.FailureThreshold < 0 {
			t.Errorf("a probe asks %+v", probe.HTTPGet)
		}
	}
}

func keys(m map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// settings lets the agent read its settings.
func settings(t *testing.T, text string) {
	t.Helper()
	agent := os.Getenv("AGENT")
	if agent == "" {
		agent = "../../bin/vggse-agent"
	}
	file := filepath.Join(t.TempDir(), "vggse-agent.yaml")
	text = strings.Replace(text, "/opt/onnxruntime/libonnxruntime.so", file, 1) // which is looked for
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(agent, "check-config", file).CombinedOutput(); err != nil {
		t.Errorf("the agent refuses %s: %v: %s", text, err, out)
	}
}

// TestRefusedValues: what an owner gets wrong is refused before anything is installed.
func TestRefusedValues(t *testing.T) {
	for values, want := range map[string]string{
		"{}":                                    "image.tag or image.digest is needed",
		tagged + "imagee: {}":                   "imagee",
		tagged + "trust: {factory.key: x}":      "factory.key",
		tagged + "trust: {../factory.pub: x}":   "factory.pub",
		tagged + "state: relative":              "state",
		tagged + "startup: 1 hour":              "startup",
		tagged + "devices: {groups: [video]}":   "groups",
		tagged + "image: {digest: 'sha256:12'}": "",
		"image: {digest: 'sha256:12'}":          "digest",
	} {
		if want == "" {
			continue
		}
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", values, err, want)
		}
	}
}

// TestLint is 'helm lint --strict'.
func TestLint(t *testing.T) {
	values := map[string]any{"image": map[string]any{"tag": "v1.2.3"}}
	for _, m := range lint.All(chart, values, "vision", true).Messages {
		if m.Severity >= support.WarningSev {
			t.Errorf("%v", m)
		}
	}
}

// TestNewSettingsMakeNewPods: files in a pod do not change, so what changes them exchanges it.
func TestNewSettingsMakeNewPods(t *testing.T) {
	seen := map[string]string{}
	for _, values := range []string{tagged, tagged + "config: {device: {site: a}}", tagged + "trust: {a.pub: b}"} {
		files, err := render(t, values)
		if err != nil {
			t.Fatal(err)
		}
		sum := decode(t, files).set.Spec.Template.Annotations["vggse-agent/settings"]
		if before, twice := seen[sum]; twice || len(sum) != 40 {
			t.Errorf("%q and %q have the same sum %q", before, values, sum)
		}
		seen[sum] = values
	}
}

// TestPod writes the pod of the chart for 'podman kube play': podman knows neither DaemonSets nor nodes nor
// single files of a ConfigMap.
func TestPod(t *testing.T) {
	if *pod == "" {
		t.Skip("no -pod")
	}
	values, err := os.ReadFile(os.Getenv("VALUES"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := render(t, string(values))
	if err != nil {
		t.Fatal(err)
	}
	r := decode(t, files)
	p := core.Pod{ObjectMeta: r.set.Spec.Template.ObjectMeta, Spec: r.set.Spec.Template.Spec}
	p.SetGroupVersionKind(core.SchemeGroupVersion.WithKind("Pod"))
	p.Name = "edge"
	p.Annotations["io.podman.annotations.init.container.type"] = "always" // "once" is removed while it ends
	agent := &p.Spec.Containers[0]
	agent.Env[0].Value, agent.Env[0].ValueFrom = "node.example", nil
	isFile := core.HostPathFile
	for i := range agent.VolumeMounts {
		m := &agent.VolumeMounts[i]
		data := r.mapOf(&p.Spec, m.Name)
		if data == nil {
			continue
		}
		path := filepath.Join(filepath.Dir(*pod), m.SubPath)
		if err := os.WriteFile(path, []byte(data.Data[m.SubPath]), 0o644); err != nil {
			t.Fatal(err)
		}
		m.Name, m.SubPath = strings.ReplaceAll(m.SubPath, ".", "-"), ""
		p.Spec.Volumes = append(p.Spec.Volumes, core.Volume{Name: m.Name, VolumeSource: core.VolumeSource{
			HostPath: &core.HostPathVolumeSource{Path: path, Type: &isFile}}})
	}
	p.Spec.Volumes = slices.DeleteFunc(p.Spec.Volumes, func(v core.Volume) bool { return v.ConfigMap != nil })
	text, err := yaml.Marshal(&p)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(*pod, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// mapOf is the ConfigMap behind a volume of the pod; nil: it is another volume.
func (r *rendered) mapOf(p *core.PodSpec, volume string) *core.ConfigMap {
	for _, v := range p.Volumes {
		if v.Name == volume && v.ConfigMap != nil {
			return r.maps[v.ConfigMap.Name]
		}
	}
	return nil
}
