package chat

import (
	"context"

	"farol/internal/connector"
	"farol/internal/dingtalk"
)

// attachment is what a message's text names: a medium by id or a file by space
// and id.
type attachment struct{ media, space, file, name string }

func (a attachment) key() string { return a.media + a.file }

func (a attachment) locate(ctx context.Context, env *connector.Env, src connector.Source, via, message string) (dingtalk.Signed, error) {
	if a.media != "" {
		s, _, err := env.Client.Media(ctx, via, src.ID, message, a.media)
		return s, err
	}
	operator := env.Operator
	if u, ok := env.People.User(via); ok && u.UnionID != "" {
		operator = u.UnionID // a member may read the group's space
	}
	return env.Client.DownloadInfo(ctx, operator, a.space, a.file, 0)
}

var mediaNames = map[string]string{"image": "image.png", "voice": "voice.amr", "audio": "voice.amr", "video": "video.mp4"}

func attachments(m message) []attachment {
	var out []attachment
	if m.Type == "text" || m.Type == "recall" {
		return nil // people may type such words themselves
	}
	for _, x := range mediaPattern.FindAllStringSubmatch(m.Text, -1) {
		name := mediaNames[m.Type]
		if name == "" {
			name = "media"
		}
		out = append(out, attachment{media: x[2], name: name})
	}
	f, s := filePattern.FindStringSubmatch(m.Text), spacePattern.FindStringSubmatch(m.Text)
	if f != nil && s != nil {
		a := attachment{file: f[1], space: s[1], name: "file"}
		if n := namePattern.FindStringSubmatch(m.Text); n != nil {
			a.name = n[1]
		}
		out = append(out, a)
	}
	return out
}
