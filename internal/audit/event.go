package audit

import (
	_ "embed"
	"time"

	"gopkg.in/yaml.v3"
)

// Event is what a caller says happened. Object and Detail carry references,
// counts and hashes only, never content, names or secrets; a test holds the list
// of keys. What stands in Detail under dept, person, record or container, several
// with commas between, the entry is found by (refs.go).
type Event struct {
	Actor     string            `json:"actor"` // account name, "system" or "dingtalk"
	Role      string            `json:"actor_role,omitempty"`
	Session   string            `json:"session,omitempty"` // short blind id
	Source    string            `json:"source_ip,omitempty"`
	Operation string            `json:"operation"` // an id of operations.yaml
	Object    string            `json:"object_ref,omitempty"`
	Hash      string            `json:"object_hash,omitempty"` // hexadecimal SHA-256 or Merkle root
	Purpose   string            `json:"purpose,omitempty"`
	Approval  string            `json:"approval_ref,omitempty"`
	Outcome   string            `json:"outcome"` // ok, denied, failed, partial
	Detail    map[string]string `json:"detail,omitempty"`
}

// Entry is an event as it stands in the log.
type Entry struct {
	Seq  int64     `json:"seq"`
	Time time.Time `json:"time_utc"`
	Event
	Laws     []string `json:"law_tags,omitempty"`
	ISO      []string `json:"iso_tags,omitempty"`
	Personal []string `json:"pd_category,omitempty"`
	LogClass string   `json:"log_class,omitempty"`
	Severity string   `json:"severity,omitempty"`
	Skew     int64    `json:"clock_back_ms,omitempty"` // the clock stood this far behind the entry before

	Expired *Expiry `json:"-"` // set when the content is gone: only number, time and class are left
}

// Operation is one row of operations.yaml.
type Operation struct {
	ID       string            `yaml:"id"`
	Title    map[string]string `yaml:"title"`
	Laws     []string          `yaml:"laws"`
	ISO      []string          `yaml:"iso"`
	Personal []string          `yaml:"personal_data"`
	Policy   struct {
		Border   string `yaml:"cross_border"`
		Class    string `yaml:"log_class"`
		Severity string `yaml:"severity"`
	} `yaml:"policy"`
}

// Law is one legal text that an operation is tagged with. Status V and S may
// be shown, U may not.
type Law struct {
	Law     string `yaml:"law"`
	Article string `yaml:"article"`
	ZH      string `yaml:"zh"`
	PT      string `yaml:"pt"`
	EN      string `yaml:"en"`
	Status  string `yaml:"status"`
}

// Shown reports whether counsel has confirmed the article, or at least that it
// stands where we say.
func (l Law) Shown() bool { return l.Status == "V" || l.Status == "S" }

// Class is how long the payload of an entry stays.
type Class struct {
	Default string `yaml:"default"` // ISO 8601
	Why     string `yaml:"why"`
}

// Unmapped tags an entry whose operation is in no table. It is kept all the
// same, as a warning, and as long as what matters most.
const Unmapped = "unmapped"

const unmappedClass = "governance"

//go:embed operations.yaml
var operationsFile []byte

// Operations, Laws and Classes are the tables of operations.yaml by id.
var Operations, Laws, Classes = func() (map[string]Operation, map[string]Law, map[string]Class) {
	var f struct {
		Laws       map[string]Law   `yaml:"laws"`
		Classes    map[string]Class `yaml:"log_classes"`
		Operations []Operation      `yaml:"operations"`
	}
	if err := yaml.Unmarshal(operationsFile, &f); err != nil {
		panic("operations.yaml: " + err.Error()) // embedded: wrong only if the build is
	}
	m := make(map[string]Operation, len(f.Operations))
	for _, op := range f.Operations {
		m[op.ID] = op
	}
	return m, f.Laws, f.Classes
}()
