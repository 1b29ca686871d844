package connector

import "sync"

// User is one employee as the other kinds need to know him.
type User struct {
	UserID  string
	UnionID string
	Name    string
	Dept    int64 // first department
}

// Directory tells who belongs where. It is filled by the contacts kind and
// read by the others. It is safe for concurrent use.
type Directory struct {
	mu    sync.RWMutex
	users map[string]User // by userId
	union map[string]string
}

// NewDirectory returns an empty directory.
func NewDirectory() *Directory {
	return &Directory{users: map[string]User{}, union: map[string]string{}}
}

// Add adds or replaces a user.
func (d *Directory) Add(u User) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.users[u.UserID] = u
	if u.UnionID != "" {
		d.union[u.UnionID] = u.UserID
	}
}

// Remove forgets a user who has left.
func (d *Directory) Remove(userID string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.union, d.users[userID].UnionID)
	delete(d.users, userID)
}

// User looks a person up by userId or unionId.
func (d *Directory) User(key string) (User, bool) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if id, ok := d.union[key]; ok {
		key = id
	}
	u, ok := d.users[key]
	return u, ok
}

// Len is the number of users.
func (d *Directory) Len() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.users)
}
