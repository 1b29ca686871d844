package simulator

import (
	"fmt"
	"time"
)

// editionCalls is how many counted calls an edition has in a natural month;
// 0 means no limit.
var editionCalls = map[string]int{"standard": 5000, "professional": 200000, "exclusive": 0}

// limits counts calls: per API for ever, per API in the last second, and per
// month for the quota.
type limits struct {
	calls  map[string]int
	recent map[string][]time.Time
	month  string
	used   int
}

func newLimits() limits {
	return limits{calls: map[string]int{}, recent: map[string][]time.Time{}}
}

func (l *limits) called(api string) { l.calls[api]++ }

// over reports whether one more call of this API now would pass the rate. A
// refused call does not count.
func (l *limits) over(api string, qps int, now time.Time) bool {
	if qps <= 0 {
		return false
	}
	list := l.recent[api]
	cut := 0
	for cut < len(list) && now.Sub(list[cut]) >= time.Second {
		cut++
	}
	list = list[cut:]
	if len(list) >= qps {
		l.recent[api] = list
		return true
	}
	l.recent[api] = append(list, now)
	return false
}

// admit applies the rate limit and then the monthly quota, which calls that
// the rate limit refused do not touch.
func (l *limits) admit(c *call) error {
	s, now := c.s, c.s.now()
	if l.over(c.apiName(), s.opt.QPS, now) || s.faults.take(s, "qps", c.apiName()) != nil {
		return c.tooFast(now)
	}
	if c.route.exempt {
		return nil
	}
	if m := now.In(macau).Format("2006-01"); m != l.month {
		l.month, l.used = m, 0
	}
	if max := s.monthlyCalls(); max > 0 && l.used >= max {
		if c.legacy {
			return platformError("90020", "您的企业本月接口调用次数已达上限")
		}
		return apiError{status: 403, code: "Forbidden.AccessDenied.ApiCountLimitForOrg", msg: "您的企业本月接口调用次数已达上限"}
	}
	l.used++
	return nil
}

func (s *Simulator) monthlyCalls() int {
	if s.opt.MonthlyCalls > 0 {
		return s.opt.MonthlyCalls
	}
	return editionCalls[s.opt.Edition]
}

func (c *call) tooFast(now time.Time) error {
	if !c.legacy {
		return apiError{status: 403, code: "Forbidden.AccessDenied.QpsLimitForAppkeyAndApi", msg: "您的企业应用调用钉钉开放平台当前接口的所有请求都被暂时禁用了"}
	}
	const f = "2006-01-02 15:04:05"
	from := now.In(macau)
	return platformError("90018", fmt.Sprintf("您的应用调用该接口apiPath(%s) 从 %s 到 %s 请求总次数超过 %d 次, 限制将在 %s 结束",
		c.route.pattern, from.Format(f), from.Add(time.Second).Format(f), c.s.opt.QPS, from.Add(2*time.Second).Format(f)))
}
