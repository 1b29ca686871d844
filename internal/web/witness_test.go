package web

import (
	"testing"

	"farol/internal/audit"
	"farol/internal/watch"
)

// TestASecondWitnessIsAddedAndRemovedOnThePage, with what is wrong beside its field,
// and by two where there are two.
func TestASecondWitnessIsAddedAndRemovedOnThePage(t *testing.T) {
	h, v := owned(t)
	v.get("/assurance").wants(t, 200, `action="/assurance/witness"`, "第二見證方")
	v.get("/assurance/witness/remove").wants(t, 404)
	v.get("/assurance/witness/transfer").wants(t, 404)
	v.post("/assurance/witness/remove").wants(t, 404)
	form := func(address, code, country string) []string {
		return []string{"witness_address", address, "witness_code", code, "witness_country", country}
	}
	v.post("/assurance/witness", form("", "", "M")...).wants(t, 422, `href="#witness_address"`, `href="#witness_code"`, `href="#witness_country"`, "<details open")
	v.post("/assurance/witness", form("auditor:1", "bad", "MO")...).wants(t, 422, `value="auditor:1"`, "配對碼不對", "<details open")
	if h.mach.witness.Set {
		t.Fatal("a refused form left a witness")
	}
	v.post("/assurance/witness", form("auditor:1", "good", "hk")...).wants(t, 303, "/assurance?done=witness")
	v.get("/assurance?done=witness").wants(t, 200, "auditor:1", "7 筆", "不會傳送任何資料", "/assurance/witness/transfer", "/assurance/witness/remove", "已加入第二見證方").lacks(t, `action="/assurance/witness"`)
	good := []string{"country", "HK", "basis", "authorisation", "filing", "F-7", "filed", "2026-01-05", "until", "2099-01-05", "reviewer", "lei"}
	v.post("/assurance/witness/transfer", good[:4]...).wants(t, 422)
	v.post("/assurance/witness/transfer", good...).wants(t, 303, "/assurance?done=transfer")
	v.get("/assurance").wants(t, 200, "F-7").lacks(t, "不會傳送任何資料")
	h.mach.witness.Connected, h.mach.witness.Problem = false, "offsite.rolledback"
	v.get("/assurance").wants(t, 200, "節點記得的日誌比本機多")
	v.get("/assurance/witness/remove").wants(t, 200, "auditor:1", "它已簽署的留在本機")

	h.account("pedro", "owner")
	v.post("/assurance/witness/remove").wants(t, 200, "auditor:1")
	if !h.mach.witness.Set {
		t.Fatal("one person alone removed the witness although another could be asked")
	}
	h.account("ana", "auditor")
	h.login("ana").post("/assurance/witness/remove").wants(t, 403)
}

func TestOnePersonWhoIsAloneMayRemoveTheWitness(t *testing.T) {
	h, v := owned(t)
	v.post("/assurance/witness", "witness_address", "auditor:1", "witness_code", "good", "witness_country", "MO").wants(t, 303)
	v.post("/assurance/witness/remove").wants(t, 303, "/assurance?done=witnessremove")
	if h.mach.witness.Set {
		t.Error("it stays")
	}
	v.get("/assurance?done=witnessremove").wants(t, 200, "已移除第二見證方", `action="/assurance/witness"`)
}

// TestAnAlarmSaysWhoseWordItIs: what the second witness refuses is no word of the
// off-site node's.
func TestAnAlarmSaysWhoseWordItIs(t *testing.T) {
	h, v := owned(t)
	both := []watch.Finding{{Cause: watch.Refused, Seen: 1, Witness: audit.NodeWitness}, {Cause: watch.Refused, Seen: 1, Witness: audit.SecondWitness}}
	one := watch.Finding{Cause: watch.LogTamper, Seen: 1, Held: 9, Witness: audit.SecondWitness}
	for _, fs := range [][]watch.Finding{both, both, {one}, {one}} {
		if err := h.d.Watch.Raise(t.Context(), fs...); err != nil {
			t.Fatal(err)
		}
	}
	as, err := h.d.Watch.Alarms(t.Context(), 10)
	if err != nil || len(as) != 3 {
		t.Fatalf("%d alarms, %v", len(as), err)
	}
	v.get("/alarms").wants(t, 200, "異地節點拒收本機送出的資料", "第二見證方拒收本機的稽核日誌", "由誰指出")
	if n := h.logged("alarm.open"); n != 3 {
		t.Errorf("%d entries of 3 alarms", n)
	}
}

// TestAnEntryIsWitnessedByEither: who has no off-site node may still have a witness.
func TestAnEntryIsWitnessedByEither(t *testing.T) {
	h, v := owned(t)
	const open = `class="kn open"`
	v.get("/audit/0").wants(t, 200, open)
	h.mach.witness = Witness{Set: true, Connected: true, CheckpointSize: 1}
	v.get("/audit/0").wants(t, 200, "異地見證").lacks(t, open)
	v.get("/audit/1").wants(t, 200, open)
}
