// Package adr holds the decisions that span packages and the byte-level
// descriptions of our formats, one page each. It has no code.
package adr
