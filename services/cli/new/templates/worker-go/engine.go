package main

import (
	"hash/fnv"
	"time"
)

// Engine is your model. This one computes nothing: its tokens are bytes, and it says those of the prompt in another order.
type Engine struct{ context, vocabulary int }

func loadEngine() Engine { return Engine{context: 32_768, vocabulary: 256} }

func (Engine) encode(text string) (ids []uint32) {
	for _, letter := range []byte(text) {
		ids = append(ids, uint32(letter))
	}
	return ids
}

func (Engine) decode(ids []uint32) string {
	letters := make([]byte, len(ids))
	for at, id := range ids {
		letters[at] = byte(id)
	}
	return string(letters)
}

// next is the token behind these; false where the model ends its answer.
func (Engine) next(tokens []uint32, seed uint64) (uint32, bool) {
	time.Sleep(2 * time.Millisecond)
	hash := fnv.New64a()
	for at := 0; at < 64; at += 8 {
		hash.Write([]byte{byte(seed >> at)})
	}
	for _, token := range tokens[max(0, len(tokens)-8):] {
		hash.Write([]byte{byte(token), byte(token >> 8), byte(token >> 16)})
	}
	return tokens[hash.Sum64()%uint64(len(tokens))], true
}
