package backup

import (
	"errors"

	"farol/internal/dingtalk"
)

// Problem names a failure for the catalogs, message id "problem.<name>".
func Problem(err error) string {
	for name, target := range map[string]error{
		"permission": dingtalk.ErrPermission, "credentials": dingtalk.ErrCredentials, "quota": dingtalk.ErrQuota, "consent": dingtalk.ErrConsent,
		"notenabled": dingtalk.ErrNotEnabled, "unreachable": dingtalk.ErrUnreachable, "throttled": dingtalk.ErrThrottled, "token": dingtalk.ErrToken,
		"unbound": ErrUnbound,
	} {
		if errors.Is(err, target) {
			return name
		}
	}
	if isStorage(err) {
		return "storage"
	}
	return "other"
}
