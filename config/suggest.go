package config

import "strings"

// maxWord bounds the words compared: the work grows with both lengths.
const maxWord = 64

// nearest returns the word of among that was probably meant by word, or "" if
// none is near enough: one slip in three letters, and at least one; or else one
// that is the longest part of the other, such as timeout of read_timeout.
func nearest(word string, among []string) string {
	if len(word) > maxWord {
		return ""
	}
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	best, found := max(1, len(word)/3)+1, ""
	for _, w := range among {
		if d := distance(word, w); d < best {
			best, found = d, w
		}
	}
	if found != "" {
		return found
	}
	for _, w := range among {
		part := min(len(w), len(word))
		if part >= 4 && part > len(found) && (strings.Contains(word, w) || strings.Contains(w, word)) {
			found = w
		}
	}
	return found
}

// distance counts the letters to insert, drop, change or swap with their
// neighbour that make a into b (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
