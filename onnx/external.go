package onnx

import (
	"fmt"
	"maps"
	"slices"
)

// place is a kind of protobuf message of an ONNX file that may hold, somewhere inside, the name
// of a file with weights.
type place int

const (
	inModel place = iota
	inGraph
	inFunction
	inTraining
	inNode
	inAttribute
	inSparse
	inTensor
	inProperty
)

// inside says which fields of a message lead further, and to what: everything of onnx.proto3 that
// can hold a tensor, also what Open carries along without reading it.
var inside = map[place]map[uint64]place{
	inModel:     {7: inGraph, 20: inTraining, 25: inFunction},
	inTraining:  {1: inGraph, 2: inGraph},
	inFunction:  {7: inNode, 11: inAttribute},
	inGraph:     {1: inNode, 5: inTensor, 15: inSparse},
	inNode:      {5: inAttribute},
	inAttribute: {5: inTensor, 6: inGraph, 10: inTensor, 11: inGraph, 22: inSparse, 23: inSparse},
	inSparse:    {1: inTensor, 2: inTensor},
	inTensor:    {13: inProperty},
}

// ExternalFiles are the files beside the ONNX file at path that hold weights of its, in order, as
// it names them: wherever in it they are named, in functions and nested graphs, too. It reads no
// more of the file than that; one that is no protobuf message is an error.
func ExternalFiles(path string) ([]string, error) {
	file, err := Map(path)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	defer file.Close()
	names := make(map[string]bool)
	if err := locations(file.Bytes, inModel, 0, names); err != nil {
		return nil, fmt.Errorf("onnx: %s: %w", path, err)
	}
	return slices.Sorted(maps.Keys(names)), nil
}

// locations adds the names of files in a message to names. Messages nest as deep as protobuf's own
// readers allow.
func locations(b []byte, in place, depth int, names map[string]bool) error {
	if depth > 100 {
		return errTooDeep
	}
	if in == inProperty {
		return location(b, names)
	}
	fields := inside[in]
	return walk(b, func(f field) error {
		if next, ok := fields[f.tag>>3]; ok && f.tag&7 == delimited {
			return locations(f.b, next, depth+1, names)
		}
		return nil
	})
}

// location adds the value of a property of a tensor that names a file.
func location(b []byte, names map[string]bool) error {
	var key, value string
	err := walk(b, func(f field) error {
		switch f.tag {
		case propertyKey:
			key = string(f.b)
		case propertyValue:
			value = string(f.b)
		}
		return nil
	})
	if key == "location" {
		names[value] = true
	}
	return err
}
