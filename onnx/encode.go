package onnx

import (
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// The fields of each message stand in ascending order, what was carried along unread behind them.

func encodeModel(m *Model) *message {
	out := &message{}
	out.number(modelIRVersion, m.IRVersion)
	out.text(modelProducer, m.Producer)
	out.text(modelProducerVersion, m.ProducerVersion)
	out.text(modelDomain, m.Domain)
	if m.ModelVersion != 0 {
		out.number(modelVersion, m.ModelVersion)
	}
	out.text(modelDoc, m.Doc)
	out.sub(modelGraph, encodeGraph(&m.Graph))
	for _, o := range m.Opsets {
		s := &message{}
		s.text(opsetDomain, o.Domain)
		s.number(opsetVersion, o.Version)
		out.sub(modelOpset, s)
	}
	for _, p := range m.Metadata {
		s := &message{}
		s.text(propertyKey, p.Key)
		s.text(propertyValue, p.Value)
		out.sub(modelMetadata, s)
	}
	out.carry(m.rest)
	return out
}

func encodeGraph(g *Graph) *message {
	out := &message{}
	for i := range g.Nodes {
		out.sub(graphNode, encodeNode(&g.Nodes[i]))
	}
	out.text(graphName, g.Name)
	for i := range g.Initializers {
		out.sub(graphInitializer, encodeTensor(&g.Initializers[i]))
	}
	out.text(graphDoc, g.Doc)
	for i := range g.Inputs {
		out.sub(graphInput, encodeValue(&g.Inputs[i]))
	}
	for i := range g.Outputs {
		out.sub(graphOutput, encodeValue(&g.Outputs[i]))
	}
	for i := range g.Values {
		out.sub(graphValue, encodeValue(&g.Values[i]))
	}
	out.carry(g.rest)
	return out
}

func encodeNode(n *Node) *message {
	out := &message{}
	for _, s := range n.Inputs {
		out.always(nodeInput, s)
	}
	for _, s := range n.Outputs {
		out.always(nodeOutput, s)
	}
	out.text(nodeName, n.Name)
	out.text(nodeOpType, n.OpType)
	for i := range n.Attributes {
		out.sub(nodeAttribute, encodeAttribute(&n.Attributes[i]))
	}
	out.text(nodeDomain, n.Domain)
	out.carry(n.rest)
	return out
}

func encodeAttribute(a *Attribute) *message {
	out := &message{}
	out.text(attrName, a.Name)
	switch a.Type {
	case AttrFloat:
		out.small(appendFloat(protowire.AppendVarint(nil, attrFloat), a.Float))
	case AttrInt:
		out.number(attrInt, a.Int)
	case AttrString:
		out.always(attrString, a.String)
	case AttrTensor:
		out.sub(attrTensor, encodeTensor(a.Tensor))
	case AttrGraph:
		out.sub(attrGraph, encodeGraph(a.Graph))
	case AttrFloats:
		var b []byte
		for _, v := range a.Floats {
			b = appendFloat(b, v)
		}
		out.always(attrFloatsPacked, string(b))
	case AttrInts:
		out.always(attrIntsPacked, string(packed(a.Ints)))
	case AttrStrings:
		for _, s := range a.Strings {
			out.always(attrStrings, s)
		}
	}
	if a.Type != 0 {
		out.number(attrType, int64(a.Type))
	}
	out.carry(a.rest)
	return out
}

func encodeTensor(t *Tensor) *message {
	out := &message{}
	if len(t.Dims) > 0 {
		out.always(tensorDimsPacked, string(packed(t.Dims)))
	}
	out.number(tensorType, int64(t.Type))
	out.text(tensorName, t.Name)
	size := int64(len(t.Data))
	if t.Type.Width() > 0 {
		size = t.Bytes()
	}
	switch {
	case t.Beside != nil:
		for _, p := range []Property{{"location", t.Beside.File}, {"offset", strconv.FormatInt(t.Beside.Offset, 10)},
			{"length", strconv.FormatInt(size, 10)}} {
			entry := &message{}
			entry.text(propertyKey, p.Key)
			entry.text(propertyValue, p.Value)
			out.sub(tensorExternal, entry)
		}
		out.number(tensorLocation, 1)
	case t.Source != nil && t.Type.Width() > 0 && size >= 0:
		out.long(tensorRaw, t.Name, size, t.Source)
	case t.Source != nil || size != int64(len(t.Data)):
		out.err = fmt.Errorf("tensor %q: shape %v of %v does not go with %d bytes", t.Name, t.Dims, t.Type, len(t.Data))
	case t.Type == Text || t.Type.Width() == 0 && size == 0: // its content, if any, is carried along
	case size < 1<<12:
		out.always(tensorRaw, string(t.Data))
	default:
		out.long(tensorRaw, t.Name, size, bytesSource(t.Data))
	}
	out.carry(t.rest)
	return out
}

func encodeValue(v *ValueInfo) *message {
	out := &message{}
	out.text(valueName, v.Name)
	kind := &message{}
	if v.Type != 0 || v.Shape != nil {
		kind.sub(typeTensor, encodeTensorType(v))
	}
	kind.carry(v.restType)
	if kind.size > 0 {
		out.sub(valueType, kind)
	}
	out.carry(v.rest)
	return out
}

func encodeTensorType(v *ValueInfo) *message {
	out := &message{}
	out.number(tensorElem, int64(v.Type))
	if v.Shape == nil {
		return out
	}
	shape := &message{}
	for _, d := range v.Shape {
		dim := &message{}
		switch {
		case d.Name != "":
			dim.text(dimName, d.Name)
		case d.Size != 0:
			dim.number(dimSize, d.Size)
		}
		shape.sub(shapeDim, dim)
	}
	out.sub(tensorShape, shape)
	return out
}

func packed(v []int64) []byte {
	var b []byte
	for _, x := range v {
		b = protowire.AppendVarint(b, uint64(x))
	}
	return b
}

func appendFloat(b []byte, v float32) []byte {
	return protowire.AppendFixed32(b, math.Float32bits(v))
}
