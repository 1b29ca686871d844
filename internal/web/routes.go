package web

import (
	"github.com/labstack/echo/v4"

	"farol/internal/policy"
	"farol/static"
)

// Forms, as programs may fill them in too (k of n shares open the key):
//
//	POST /setup/claim     code
//	POST /setup/admin     name password secret totp       GET shows secret, and data-otpauth on the QR figure
//	POST /setup/dingtalk  region=china|international|custom base_url client_id client_secret
//	GET  /setup/dingtalk/consent                          303 to DingTalk, back at /setup/dingtalk/callback
//	POST /setup/scope     include=<dept>:<kind>… or all=1
//	POST /setup/storage   offsite_address offsite_code country   first two empty = skip
//	POST /setup/kit/make  n k                             200 with the shares, once
//	POST /setup/kit       share…
//	POST /kit/rotate      n k      200 with the shares of a new root key, once   GET /kit/locks
//	POST /kit/rehearse    share…   POST /kit/<number>/keeper keeper, /kit/<number>/see words, /kit/<number>/lose
//	POST /setup/start     mode=full
//	POST /login           name password totp|recovery next, reason for the break-glass account
//	POST /stepup          totp|recovery next              with again=post the other fields go on to next
//	both                  ticket credential               a passkey's answer in place of the code
//	POST /settings/passkey ticket credential name         /settings/passkey/remove id
//	POST /join            token (after # in the link)     303 to /join/account
//	POST /join/account    password totp                   200 with the recovery codes, once
//	POST /consent/join    token (after # in the link)     303 to /consent/agree
//	POST /settings/password password_old password_new totp
//	POST /settings/recovery                               200 with the codes, once
//	POST /settings/authenticator totp                     of the secret that GET shows
//	POST /accounts/invite name shown role                 200 with the link, once
//	POST /accounts/<id>/role role, /disable, /enable, /end, /reset lost=factor|password|both
//	POST /accounts/breakglass                             200 with the envelope, once
//	POST /purpose         purpose title basis next, or matter next   POST /matters/<number>/close
//	POST /scope           include… save=1, or include… toggle=<dept>:<kind>
//	POST /backup/start    mode=full|incremental           POST /backup/cancel, /backup/pause paused=0|1
//	POST /storage/add     kind=dir|s3|sftp name path host bucket region user secret host_key ca plain=1 lock_days lock_strict=1 price, and where it lies:
//	POST /storage/<id>/transfer, /assurance/transfer  country basis city filing filed until reviewer
//	POST /storage/<id>/price price, /storage/<id>/verify, /storage/<id>/retire files=keep|erase|forget
//	GET  /points          page, or all daily weekly monthly from to: a preview of these rules
//	POST /points/rules    all daily weekly monthly from to   POST /points/<id>/hold reason, /points/<id>/unhold
//	POST /search          q kind dept from to in as_of, 303 to
//	POST /audit           actor about object op outcome purpose from to, 303 to GET /audit s before, or matter before
//	GET  /search          s (what stands for the words in this session) kind dept from to in before as_of
//	GET  /me              303 to DingTalk at /me/go, back at /me/callback   GET /me/search s kind from to before   POST /me/search q kind from to
//	POST /consents/self   on=0|1, what=signin for the first factor by DingTalk
//	GET  /login/dingtalk  303 to DingTalk, back at /login/dingtalk/callback; then POST /login first=1 totp|recovery|ticket credential
//	POST /assurance/limit limit=1 mbit limit_day=0…6 limit_from limit_to
//	POST /assurance/witness witness_address witness_code witness_country   /assurance/witness/remove   /assurance/witness/transfer as above
//	POST /alarms/<id>     note
//	POST /restore/run     kind dept container as_of from to target=zip|dingtalk reason (when others have to agree)
//	POST /access/circles  finance=dept… personnel=dept…
//	POST /access/give     account dept… circle=finance|personnel… until reason   POST /access/<id>/end, /access/<id>/review
//	forms that another person has to agree to are answered with a page that asks for a reason: POST /inbox/ask ticket reason
//	POST /inbox/<id>/decide word=yes|no note   POST /inbox/<id>/run, /inbox/<id>/withdraw
//	GET  /healthz, /readyz                                200, or 503 and one word; no account
//	GET  /metrics                                         to this machine, or with Authorization: Bearer
//	GET  /api/progress, /api/status                       the figures of the pages as JSON

// route is one line of the console's table of contents: what an auditor reads.
type route struct {
	method, path string
	handler      echo.HandlerFunc
	access       rights
}

// rights say who may use a route.
type rights struct {
	name    string        // shown by the route test and to an auditor
	action  policy.Action // needed, "" when none
	open    bool          // without a session
	member  bool          // a member of the company at his own records; no account opens it
	claim   bool          // only before there is an account
	content bool          // a purpose is needed
	fresh   bool          // a code of the last five minutes is needed
	setup   bool          // … once set-up is finished
	anew    bool          // a whole sign-in of the last five minutes is needed
}

var (
	open   = rights{name: "open", open: true}
	claim  = rights{name: "claim", open: true, claim: true}
	signed = rights{name: "signed in"}
	gate   = rights{name: "open, when switched on", open: true, member: true}
	own    = rights{name: "member", member: true}
)

func may(a policy.Action) rights { return rights{name: string(a), action: a} }

// forContent asks for a purpose first.
func (a rights) forContent() rights { a.name += ", purpose"; a.content = true; return a }

// andFresh asks for a fresh code first.
func (a rights) andFresh() rights { a.name += ", fresh code"; a.fresh = true; return a }

// ofSetup asks for a fresh code once set-up is finished: its first walk begins
// with one.
func (a rights) ofSetup() rights { a.name += ", fresh code after set-up"; a.setup = true; return a }

// andLogin asks to sign in anew first: for what changes how one signs in.
func (a rights) andLogin() rights { a.name += ", signed in anew"; a.anew = true; return a }

func (s *Server) routes() []route {
	accounts := may(policy.Accounts).andFresh()
	step := may(policy.Configure).ofSetup()
	read, find, operate, configure := may(policy.Read).forContent(), may(policy.Search).forContent(), may(policy.Operate), may(policy.Configure)
	return []route{
		{"GET", "/healthz", s.healthz, open},
		{"GET", "/readyz", s.readyz, open},
		{"GET", "/metrics", s.figures, open},
		{"GET", static.Prefix + "*", echo.WrapHandler(static.Handler()), open},
		{"POST", "/look", s.look, open},
		{"GET", "/help", s.help, open},
		{"GET", "/help/:topic", s.helpTopic, open},
		{"GET", "/login", s.loginForm, open},
		{"POST", "/login", s.login, open},
		{"GET", "/login/passkey", s.passkeyLoginForm, open},
		{"GET", "/login/dingtalk", s.firstGo, open},
		{"GET", "/login/dingtalk/callback", s.firstCallback, open},
		{"GET", "/join", s.joinOpen, open},
		{"POST", "/join", s.joinToken, open},
		{"GET", "/join/account", s.joinForm, open},
		{"GET", "/join/account/qr.png", s.joinQR, open},
		{"POST", "/join/account", s.joinAccept, open},

		{"GET", "/setup", s.setupHome, open},
		{"GET", "/setup/claim", s.claimForm, claim},
		{"POST", "/setup/claim", s.claim, claim},
		{"GET", "/setup/admin", s.adminForm, claim},
		{"GET", "/setup/admin/qr.png", s.adminQR, claim},
		{"POST", "/setup/admin", s.admin, claim},
		{"GET", "/setup/dingtalk", s.bindForm, step},
		{"POST", "/setup/dingtalk", s.bind, step},
		{"GET", "/setup/dingtalk/consent", s.setupConsent, step},
		{"GET", "/setup/dingtalk/callback", s.setupCallback, open},
		{"GET", "/setup/scope", s.setupScopeForm, step},
		{"POST", "/setup/scope", s.setupScope, step},
		{"GET", "/setup/storage", s.storageForm, step},
		{"POST", "/setup/storage", s.storage, step},
		{"GET", "/setup/kit", s.kitForm, step},
		{"POST", "/setup/kit/make", s.kitMake, step},
		{"POST", "/setup/kit", s.kitConfirm, step},
		{"GET", "/setup/run", s.firstRun, configure},
		{"POST", "/setup/start", s.firstStart, configure},

		{"GET", "/", s.dashboard, signed},
		{"GET", "/status/band", s.band, signed},
		{"POST", "/logout", s.logout, signed},
		{"GET", "/session/keep", s.keep, signed},
		{"POST", "/session/end", s.endSession, signed.andFresh()},
		{"GET", "/stepup", s.stepUpForm, signed},
		{"POST", "/stepup", s.stepUp, signed},
		{"GET", "/purpose", s.purposeForm, signed},
		{"POST", "/purpose", s.purpose, signed},
		{"GET", "/settings", s.settings, signed},
		{"POST", "/settings/password", s.password, signed},
		{"POST", "/settings/recovery", s.recoveryCodes, signed.andLogin()},
		{"GET", "/settings/authenticator", s.authenticatorForm, signed.andLogin()},
		{"GET", "/settings/authenticator/qr.png", s.authenticatorQR, signed.andLogin()},
		{"POST", "/settings/authenticator", s.authenticator, signed.andLogin()},
		{"GET", "/settings/passkey", s.passkeyForm, signed.andLogin()},
		{"POST", "/settings/passkey", s.passkeyAdd, signed.andLogin()},
		{"POST", "/settings/passkey/remove", s.passkeyRemove, signed.andLogin()},
		{"POST", "/settings/dingtalk", s.linkGo, signed.andLogin()},
		{"POST", "/settings/dingtalk/remove", s.linkRemove, signed.andLogin()},

		{"GET", "/accounts", s.accounts, accounts},
		{"POST", "/accounts/invite", s.accountInvite, accounts},
		{"POST", "/accounts/invite/:id/withdraw", s.accountWithdraw, accounts},
		{"POST", "/accounts/breakglass", s.envelope, accounts},
		{"GET", "/accounts/:id", s.account, accounts},
		{"POST", "/accounts/:id/role", s.accountRole, accounts},
		{"POST", "/accounts/:id/disable", s.accountDisable, accounts},
		{"POST", "/accounts/:id/enable", s.accountEnable, accounts},
		{"POST", "/accounts/:id/end", s.accountEnd, accounts},
		{"POST", "/accounts/:id/reset", s.accountReset, accounts},

		{"GET", "/backup", s.backup, operate},
		{"POST", "/backup/start", s.backupStart, operate},
		{"POST", "/backup/cancel", s.backupCancel, operate},
		{"POST", "/backup/pause", s.backupPause, configure},
		{"POST", "/backup/schedule", s.backupSchedule, configure.andFresh()},
		{"GET", "/points", s.points, operate},
		{"POST", "/points/rules", s.pointsRules, configure.andFresh()},
		{"GET", "/points/:id", s.pointForm, operate},
		{"POST", "/points/:id/hold", s.pointHold, configure.andFresh()},
		{"POST", "/points/:id/unhold", s.pointUnhold, configure.andFresh()},
		{"GET", "/storage", s.places, operate},
		{"GET", "/storage/add", s.copyForm, configure.andFresh()},
		{"POST", "/storage/add", s.copyAdd, configure.andFresh()},
		{"POST", "/storage/:id/verify", s.copyVerify, configure},
		{"GET", "/storage/:id/transfer", s.copyTransfer, configure},
		{"POST", "/storage/:id/transfer", s.copyTransferKeep, configure.andFresh()},
		{"GET", "/storage/:id/price", s.copyPrice, configure},
		{"POST", "/storage/:id/price", s.copyPriceKeep, configure},
		{"GET", "/storage/:id/retire", s.retireForm, configure},
		{"POST", "/storage/:id/retire", s.copyRetire, configure.andFresh()},
		{"GET", "/events/backup", s.backupEvents, operate},
		{"GET", "/events/backup/short", s.backupEventsShort, operate},
		{"GET", "/api/progress", s.apiProgress, operate},
		{"GET", "/api/status", s.apiStatus, operate},
		{"GET", "/scope", s.scopeForm, configure},
		{"POST", "/scope", s.scope, configure},
		{"GET", "/consents", s.consents, configure},
		{"POST", "/consents/invite", s.invite, configure.andFresh()},
		{"GET", "/consent/join", s.consentOpen, open},
		{"POST", "/consent/join", s.consentToken, open},
		{"GET", "/consent/agree", s.join, open},
		{"GET", "/consent/agree/go", s.joinGo, open},
		{"GET", "/consent/callback", s.joinCallback, open},

		{"GET", "/consents/self", s.selfService, configure},
		{"POST", "/consents/self", s.selfSwitch, configure.andFresh()},

		{"GET", "/me", s.me, gate},
		{"GET", "/me/go", s.meGo, gate},
		{"GET", "/me/callback", s.meCallback, gate},
		{"POST", "/me/logout", s.meLogout, own},
		{"GET", "/me/search", s.meSearch, own},
		{"POST", "/me/search", s.meAsk, own},
		{"GET", "/me/record/:id", s.meRecord, own},
		{"GET", "/me/record/:id/blob/:n/download", s.meTake, own},

		{"GET", "/archive", s.archiveHome, read},
		{"GET", "/archive/:kind", s.containers, read},
		{"POST", "/archive/:kind", s.containersAsk, may(policy.Read)},
		{"GET", "/archive/:kind/:id", s.container, read},
		{"GET", "/record/:id", s.record, read},
		{"GET", "/record/:id/reveal", s.reveal, read.andFresh()},
		{"GET", "/record/:id/blob/:n", s.blobShow, read},
		{"GET", "/record/:id/blob/:n/download", s.blobTake, may(policy.Export).forContent().andFresh()},
		{"GET", "/record/:id/proof.json", s.proof, may(policy.Export).forContent().andFresh()},
		{"GET", "/search", s.search, find},
		{"POST", "/search", s.searchAsk, may(policy.Search)},

		{"GET", "/restore", s.restoreForm, may(policy.Restore).forContent()},
		{"POST", "/restore/run", s.restoreRun, may(policy.Restore).forContent().andFresh()},
		{"GET", "/restore/job/:id", s.restoreJob, may(policy.Restore).forContent()},
		{"POST", "/restore/cancel/:id", s.restoreCancel, may(policy.Restore).forContent()},
		{"GET", "/events/restore/:id", s.restoreEvents, may(policy.Restore).forContent()},

		{"GET", "/matters", s.matters, may(policy.Audit)},
		{"POST", "/matters/:number/close", s.matterClose, may(policy.Audit).andFresh()},

		{"GET", "/access", s.accessList, may(policy.Accounts)},
		{"GET", "/access/circles", s.circleList, may(policy.Accounts)},
		{"POST", "/access/circles", s.circleKeep, may(policy.Accounts).andFresh()},
		{"POST", "/access/give", s.accessGive, may(policy.Accounts).andFresh()},
		{"POST", "/access/:id/end", s.accessEnd, may(policy.Accounts).andFresh()},
		{"POST", "/access/:id/review", s.accessReview, may(policy.Accounts).andFresh()},

		{"GET", "/inbox", s.inbox, signed},
		{"GET", "/inbox/:id", s.ask, signed},
		{"POST", "/inbox/ask", s.deedAsk, signed.andFresh()},
		{"POST", "/inbox/:id/decide", s.askDecide, may(policy.Approve).andFresh()},
		{"POST", "/inbox/:id/withdraw", s.askWithdraw, signed},
		{"POST", "/inbox/:id/run", s.askRun, signed.andFresh()},

		{"GET", "/audit", s.auditList, may(policy.Audit)},
		{"POST", "/audit", s.auditAsk, may(policy.Audit)},
		{"POST", "/audit/verify", s.auditVerify, may(policy.Audit)},
		{"POST", "/audit/package", s.auditPackage, may(policy.Audit).andFresh()},
		{"GET", "/audit/:seq", s.auditEntry, may(policy.Audit)},
		{"GET", "/audit/:seq/proof.json", s.auditProof, may(policy.Audit).andFresh()},

		{"GET", "/alarms", s.alarms, operate},
		{"GET", "/alarms/:id", s.alarm, operate},
		{"POST", "/alarms/:id", s.alarmClose, configure.andFresh()},

		{"GET", "/kit", s.kit, configure},
		{"GET", "/kit/locks", s.kitLocks, configure},
		{"POST", "/kit/rehearse", s.kitRehearse, configure.andFresh()},
		{"POST", "/kit/rotate", s.kitRotate, configure.andFresh()},
		{"POST", "/kit/:number/keeper", s.kitKeeper, configure.andFresh()},
		{"POST", "/kit/:number/see", s.kitSee, configure.andFresh()},
		{"POST", "/kit/:number/lose", s.kitLose, configure.andFresh()},

		{"GET", "/assurance", s.assurance, operate},
		{"POST", "/assurance/verify", s.assuranceVerify, operate},
		{"POST", "/assurance/offsite", s.assuranceOffsite, configure.andFresh()},
		{"POST", "/assurance/limit", s.assuranceLimit, configure.andFresh()},
		{"GET", "/assurance/transfer", s.nodeTransfer, configure},
		{"POST", "/assurance/transfer", s.nodeTransferKeep, configure.andFresh()},
		{"POST", "/assurance/witness", s.witnessAdd, configure.andFresh()},
		{"GET", "/assurance/witness/remove", s.witnessRemoveForm, configure},
		{"POST", "/assurance/witness/remove", s.witnessRemove, configure.andFresh()},
		{"GET", "/assurance/witness/transfer", s.witnessTransfer, configure},
		{"POST", "/assurance/witness/transfer", s.witnessTransferKeep, configure.andFresh()},
		{"POST", "/assurance/schedule", s.assuranceSchedule, configure.andFresh()},
	}
}
