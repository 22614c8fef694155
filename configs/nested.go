package configs

import (
	"strconv"
	"strings"
)

// Tree turns dotted keys into the tree that the YAML file has: a part that is a number is the place
// in a list.
func Tree(entries []Entry) any {
	root := make(map[string]any)
	for _, entry := range entries {
		parts := strings.Split(entry.Key, ".")
		node := root
		for _, part := range parts[:len(parts)-1] {
			child, ok := node[part].(map[string]any)
			if !ok {
				child = make(map[string]any)
				node[part] = child
			}
			node = child
		}
		node[parts[len(parts)-1]] = entry.Value
	}
	return listed(root)
}

// listed makes a list of each map whose keys are 0, 1, 2 and so on.
func listed(node map[string]any) any {
	list := make([]any, 0, len(node))
	for i := range len(node) {
		if value, ok := node[strconv.Itoa(i)]; ok {
			list = append(list, value)
		}
	}
	whole := len(node) > 0 && len(list) == len(node)
	for i, value := range list {
		if child, ok := value.(map[string]any); ok && whole {
			list[i] = listed(child)
		}
	}
	if whole {
		return list
	}
	for key, value := range node {
		if child, ok := value.(map[string]any); ok {
			node[key] = listed(child)
		}
	}
	return node
}
