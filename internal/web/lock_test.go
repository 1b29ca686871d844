package web

import (
	"testing"
	"time"

	"farol/internal/i18n"
	"farol/internal/record"
)

func TestALockIsSaidInPlainWordsAndNothingUnderItIsOfferedForErasing(t *testing.T) {
	h, v := owned(t)
	lock := CopyLock{Days: 30, Asked: 40, First: time.Date(2026, 12, 14, 1, 0, 0, 0, record.Macau), Last: time.Date(2026, 12, 29, 1, 0, 0, 0, record.Macau)}
	h.mach.copies = []Copy{{ID: "s7", Name: "雲", Kind: "s3", State: "current", Lock: lock, Transfer: record.Transfer{Country: "MO"}}}
	v.get("/storage").wants(t, 200, "每次寫入後 30 天，有特別權限者可解除；抽查 40 個檔案，最早鎖至 2026年12月14日", "最遲鎖至 2026年12月29日").lacks(t, "未鎖定")
	h.mach.copies[0].Lock = CopyLock{Days: 30, Strict: true, Asked: 40, Open: 40}
	v.get("/storage").wants(t, 200, "任何人都不能解除", "抽查的 40 個檔案中有 40 個未鎖定").lacks(t, "最早鎖至")
	v.get("/storage/s7/retire").wants(t, 200, `value="keep"`, "已鎖定，不能刪除").lacks(t, `value="erase"`)
	v.get("/storage/add?kind=s3").wants(t, 200, `name="lock_days" type="text" value="0"`, "連供應商帳戶的擁有人也不能")
	form := []string{"kind", "s3", "name", "雲二", "host", "s3.example.mo", "bucket", "b", "user", "u", "secret", "s", "country", "MO", "lock_strict", "1", "lock_days", ""}
	for _, bad := range []string{"-1", "3651", "a month", "1.5"} {
		form[len(form)-1] = bad
		v.post("/storage/add", form...).wants(t, 422, "請填 0 至 3,650 的天數", `value="`+bad+`"`)
	}
	form[len(form)-1] = "30"
	h.mach.refuse = &i18n.Error{ID: "place.add.nolock"}
	v.post("/storage/add", form...).wants(t, 422, "這個儲存桶沒有物件鎖定", `name="lock_days" type="text" value="30"`, `aria-invalid="true"`)
	h.mach.refuse = nil
	v.post("/storage/add", form...).wants(t, 303)
	form[len(form)-1] = "0"
	v.post("/storage/add", form...).wants(t, 303)
	if a := h.mach.added; len(a) != 2 || a[0].LockDays != 30 || !a[0].LockStrict || a[1].LockDays != 0 || a[1].LockStrict {
		t.Errorf("added %+v", a)
	}
}
