package simulator

import (
	"encoding/json"
	"errors"
	"strconv"
)

// args are decoded parameters: JSON values with numbers kept as text, or the
// plain text of a form.
type args map[string]any

func (a args) str(k string) string {
	switch v := a[k].(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

var errNotNumber = errors.New("not a whole number")

// num reads a whole number; absent is def.
func (a args) num(k string, def int64) (int64, error) {
	switch v := a[k].(type) {
	case nil:
		return def, nil
	case json.Number:
		return strconv.ParseInt(v.String(), 10, 64)
	case string:
		return strconv.ParseInt(v, 10, 64)
	}
	return 0, errNotNumber
}

func (a args) flag(k string) bool {
	switch v := a[k].(type) {
	case bool:
		return v
	case string:
		return v == "true"
	}
	return false
}

func (a args) obj(k string) args {
	switch v := a[k].(type) {
	case map[string]any:
		return v
	case string:
		var m args
		if json.Unmarshal([]byte(v), &m) == nil {
			return m
		}
	}
	return args{}
}

func (a args) strs(k string) []string {
	list, _ := a[k].([]any)
	var out []string
	for _, v := range list {
		switch v := v.(type) {
		case string:
			out = append(out, v)
		case json.Number:
			out = append(out, v.String())
		}
	}
	return out
}
