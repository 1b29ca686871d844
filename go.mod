module farol

go 1.26

require (
	github.com/kopia/kopia v0.22.3
	github.com/labstack/echo/v4 v4.16.0
	github.com/a-h/templ v0.3.977
	modernc.org/sqlite v1.61.1
	github.com/pressly/goose/v3 v3.29.0
	github.com/coreos/go-systemd/v22 v22.7.0
	github.com/pquerna/otp v1.5.0
	github.com/alexedwards/argon2id v1.0.0
	golang.org/x/mod v0.42.0
	github.com/robfig/cron/v3 v3.0.1
	github.com/xuri/excelize/v2 v2.11.1
	github.com/spf13/cobra v1.10.2
	github.com/chromedp/chromedp v0.23.0
	github.com/gorilla/websocket v1.5.3
	github.com/google/go-cmp v0.7.0
)
