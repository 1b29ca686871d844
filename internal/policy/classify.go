package policy

import (
	"strings"

	"farol/internal/record"
)

// Facts are what classification looks at: never stored, never logged.
type Facts struct {
	Kind      record.Kind
	Private   bool
	DeptNames []string // the owning department and those above it
	Title     string
	Text      string
}

// secretWords raise a record to confidential, in the four languages.
var secretWords = []string{"機密", "机密", "保密", "confidential", "confidencial", "薪酬", "薪資", "工資單", "payroll", "salário", "身份證", "身份证", "護照", "passport", "passaporte"}

// closedDepts are departments whose records are confidential by themselves.
var closedDepts = []string{"人力資源", "人事", "财务", "財務", "法務", "董事", "finance", "human resources", "legal", "recursos humanos", "financeir", "juríd"}

// Classify says how secret a record is: 1:1 conversations, approvals and the
// records of finance, personnel, legal and the board are confidential, as is
// what names itself so; the rest is internal.
func Classify(f Facts) record.Class {
	if f.Kind == record.Contacts {
		return record.Internal
	}
	if f.Private || f.Kind == record.Approvals {
		return record.Confidential
	}
	for _, n := range f.DeptNames {
		if containsAny(n, closedDepts) {
			return record.Confidential
		}
	}
	if containsAny(f.Title, secretWords) || containsAny(f.Text, secretWords) {
		return record.Confidential
	}
	return record.Internal
}

func containsAny(s string, words []string) bool {
	s = strings.ToLower(s)
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}
