package importer

import (
	"cmp"
	"strings"

	"github.com/vggse/vggse-agent/onnx"
	"github.com/vggse/vggse-agent/vgg16se/checkpoint"
)

// InspectedTensor is a tensor that a file holds.
type InspectedTensor struct {
	Name  string  `json:"name"`
	Shape []int64 `json:"shape"`
	Type  string  `json:"dtype"`
}

// Inspection is what a checkpoint or model file holds, beside the weights themselves.
type Inspection struct {
	Format   string            `json:"format"`
	Key      string            `json:"key,omitempty"`    // of a nested checkpoint
	Others   []string          `json:"others,omitempty"` // keys of sets of tensors that are not shown
	Producer string            `json:"producer,omitempty"`
	IR       int64             `json:"ir_version,omitempty"`
	Opsets   map[string]int64  `json:"opsets,omitempty"`
	Inputs   []string          `json:"inputs,omitempty"`
	Outputs  []string          `json:"outputs,omitempty"`
	Nodes    map[string]int    `json:"nodes,omitempty"` // how many of each kind
	Metadata map[string]string `json:"metadata,omitempty"`
	Tensors  []InspectedTensor `json:"tensors"`
}

// Inspect lists what the file holds; key names the set of tensors of a nested checkpoint, "" the
// one that import would take. The weights stay on the disk, and nothing in the file is run.
func Inspect(path, key string) (*Inspection, error) {
	if IsONNX(path) {
		return inspectONNX(path)
	}
	f, err := checkpoint.Open(path, key)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	i := &Inspection{Format: f.Format, Key: f.Key, Others: f.Others, Metadata: f.Metadata, Tensors: []InspectedTensor{}}
	for _, t := range f.Tensors {
		i.Tensors = append(i.Tensors, InspectedTensor{t.Name, append([]int64{}, t.Shape...), t.Type.String()})
	}
	return i, nil
}

func inspectONNX(path string) (*Inspection, error) {
	m, err := onnx.Open(path)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	i := &Inspection{Format: "onnx", Producer: strings.TrimSpace(m.Producer + " " + m.ProducerVersion), IR: m.IRVersion,
		Opsets: map[string]int64{}, Nodes: map[string]int{}, Metadata: map[string]string{},
		Tensors: []InspectedTensor{}}
	for _, o := range m.Opsets {
		i.Opsets[cmp.Or(o.Domain, "ai.onnx")] = o.Version
	}
	for _, v := range m.Graph.FreeInputs() {
		i.Inputs = append(i.Inputs, v.String())
	}
	for _, v := range m.Graph.Outputs {
		i.Outputs = append(i.Outputs, v.String())
	}
	for _, n := range m.Graph.Nodes {
		i.Nodes[n.OpType]++
	}
	for _, p := range m.Metadata {
		i.Metadata[p.Key] = p.Value
	}
	for _, t := range m.Graph.Initializers {
		i.Tensors = append(i.Tensors, InspectedTensor{t.Name, append([]int64{}, t.Dims...), t.Type.String()})
	}
	return i, nil
}
