package approvals

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// plain turns a component's JSON text into words; plain text stays as it is.
func plain(s string) string {
	if !strings.HasPrefix(s, "[") && !strings.HasPrefix(s, "{") {
		return s
	}
	var v any
	if json.Unmarshal([]byte(s), &v) != nil {
		return s
	}
	var parts []string
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			if label, ok := v["label"]; ok && v["value"] != nil {
				parts = append(parts, fmt.Sprintf("%v: %v", label, v["value"]))
				return
			}
			for _, k := range sortedKeys(v) {
				walk(v[k])
			}
		case nil:
		default:
			parts = append(parts, fmt.Sprint(v))
		}
	}
	walk(v)
	return strings.Join(parts, ", ")
}
