package policy

import (
	"slices"
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
var secretWords = []string{"機密", "机密", "保密", "confidential", "confidencial", "薪酬", "薪資", "薪资", "工資單", "工资单", "payroll", "salário", "身份證", "身份证", "護照", "护照", "passport", "passaporte"}

// closedDepts are departments whose records are confidential by themselves.
var closedDepts = []string{"人力資源", "人力资源", "人事", "财务", "財務", "法務", "法务", "董事", "finance", "human resources", "legal", "recursos humanos", "financeir", "juríd"}

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

// circles are the words in the names of departments, forms and files that make
// a record part of a closed circle.
var circles = []struct {
	realm record.Realms
	words []string
}{
	{record.Finance, []string{"財務", "财务", "會計", "会计", "出納", "出纳", "報銷", "报销", "付款", "請款", "请款", "發票", "发票", "finance", "accounting", "invoice", "payment", "reimburse", "expense",
		"financeir", "contabilidade", "pagamento", "reembolso", "factura", "fatura"}},
	{record.Personnel, []string{"人力資源", "人力资源", "人事", "薪酬", "薪資", "薪资", "工資", "工资", "調薪", "调薪", "勞動合同", "劳动合同", "績效", "绩效", "human resources", "payroll", "salary", "appraisal",
		"recursos humanos", "salário", "vencimento", "avaliação de desempenho"}},
}

// RealmsOf says to which closed circles a record belongs: by its department and
// those above it, and by its title. Words in the text do not: a message that
// mentions a payment is not the payment.
func RealmsOf(f Facts) (out record.Realms) {
	if f.Kind == record.Contacts {
		return 0
	}
	for _, c := range circles {
		if containsAny(f.Title, c.words) || slices.ContainsFunc(f.DeptNames, func(n string) bool { return containsAny(n, c.words) }) {
			out |= c.realm
		}
	}
	return out
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
