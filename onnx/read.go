package onnx

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// file reads a whole file and sees that it is a model at all.
func (r *reader) file(b []byte, m *Model) error {
	graph := false
	err := walk(b, func(f field) error {
		switch f.tag {
		case modelIRVersion:
			m.IRVersion = int64(f.v)
		case modelProducer:
			return r.text(&m.Producer, f)
		case modelProducerVersion:
			return r.text(&m.ProducerVersion, f)
		case modelDomain:
			return r.text(&m.Domain, f)
		case modelVersion:
			m.ModelVersion = int64(f.v)
		case modelDoc:
			return r.text(&m.Doc, f)
		case modelGraph:
			graph = true
			return r.graph(f.b, &m.Graph)
		case modelOpset:
			return r.opset(f, m)
		case modelMetadata:
			return r.property(f, &m.Metadata)
		default:
			return r.keep(&m.rest, f)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case m.IRVersion <= 0 || !graph:
		return errors.New("not an ONNX file: it has no version or no graph")
	}
	return nil
}

func (r *reader) opset(f field, m *Model) error {
	var o Opset
	err := walk(f.b, func(f field) error {
		switch f.tag {
		case opsetDomain:
			return r.text(&o.Domain, f)
		case opsetVersion:
			o.Version = int64(f.v)
		}
		return nil
	})
	m.Opsets = append(m.Opsets, o)
	return cmp.Or(err, r.spend(2*int(unsafe.Sizeof(o))))
}

func (r *reader) property(f field, list *[]Property) error {
	var p Property
	err := walk(f.b, func(f field) error {
		switch f.tag {
		case propertyKey:
			return r.text(&p.Key, f)
		case propertyValue:
			return r.text(&p.Value, f)
		}
		return nil
	})
	*list = append(*list, p)
	return cmp.Or(err, r.spend(2*int(unsafe.Sizeof(p))))
}

func (r *reader) graph(b []byte, g *Graph) error {
	if r.depth++; r.depth > 16 {
		return errTooDeep
	}
	defer func() { r.depth-- }()
	return walk(b, func(f field) error {
		switch f.tag {
		case graphNode:
			return r.node(f.b, g)
		case graphName:
			return r.text(&g.Name, f)
		case graphDoc:
			return r.text(&g.Doc, f)
		case graphInitializer:
			g.Initializers = append(g.Initializers, Tensor{})
			t := &g.Initializers[len(g.Initializers)-1]
			if err := r.tensor(f.b, t); err != nil {
				return fmt.Errorf("initializer %q: %w", t.Name, err)
			}
			return nil
		case graphInput:
			return r.value(f.b, &g.Inputs)
		case graphOutput:
			return r.value(f.b, &g.Outputs)
		case graphValue:
			return r.value(f.b, &g.Values)
		}
		return r.keep(&g.rest, f)
	})
}

func (r *reader) node(b []byte, g *Graph) error {
	var n Node
	err := walk(b, func(f field) error {
		switch f.tag {
		case nodeInput:
			return r.texts(&n.Inputs, f)
		case nodeOutput:
			return r.texts(&n.Outputs, f)
		case nodeName:
			return r.text(&n.Name, f)
		case nodeOpType:
			return r.text(&n.OpType, f)
		case nodeDomain:
			return r.text(&n.Domain, f)
		case nodeAttribute:
			return r.attribute(f.b, &n)
		}
		return r.keep(&n.rest, f)
	})
	if err != nil {
		return fmt.Errorf("node %q: %w", n.Name, err)
	}
	g.Nodes = append(g.Nodes, n)
	return r.spend(2 * int(unsafe.Sizeof(n)))
}

func (r *reader) attribute(b []byte, n *Node) error {
	var a Attribute
	err := walk(b, func(f field) error {
		switch f.tag {
		case attrName:
			return r.text(&a.Name, f)
		case attrType:
			a.Type = AttributeType(f.v)
		case attrFloat:
			a.Float = math.Float32frombits(uint32(f.v))
		case attrInt:
			a.Int = int64(f.v)
		case attrString:
			return r.text(&a.String, f)
		case attrTensor:
			a.Tensor = &Tensor{}
			return r.tensor(f.b, a.Tensor)
		case attrGraph:
			a.Graph = &Graph{}
			return cmp.Or(r.graph(f.b, a.Graph), r.spend(int(unsafe.Sizeof(Graph{}))))
		case attrFloat1, attrFloatsPacked:
			return r.floats(&a.Floats, f)
		case attrInt1, attrIntsPacked:
			return r.ints(&a.Ints, f)
		case attrStrings:
			return r.texts(&a.Strings, f)
		default:
			return r.keep(&a.rest, f)
		}
		return nil
	})
	switch {
	case err != nil:
	case a.Type == 0, a.Type == AttrTensor && a.Tensor == nil, a.Type == AttrGraph && a.Graph == nil:
		err = errors.New("it has no type or no value")
	}
	if err != nil {
		return fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	n.Attributes = append(n.Attributes, a)
	return r.spend(2 * int(unsafe.Sizeof(a)))
}
