// Runs the golden corpus: runner CORPUS_FOLDER TARGETS_FILE [PART_OF_A_NAME]. ../corpus/README.md tells all of it.
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const version, patience, again, sendable, unlimited = 1.0, 20 * time.Second, 50 * time.Millisecond, 4096, 1 << 30

type message = proto.Message

var merging = proto.UnmarshalOptions{Merge: true}

type step struct {
	Step, Target, Method, As, To, From, Append, Contains, Type, Wire string
	Request, JSON                                                    json.RawMessage
	Expect, Error, Until                                             object
	Metadata                                                         map[string]string
	Times, Count, Ms, DeadlineMs, WithinMs                           int
	SameBytes                                                        bool
}

// A file of the corpus, or the one that lists them.
type file struct {
	Version, ReceiveLimitBytes int
	Files                      []string
	Cases                      []struct {
		Name  string
		Steps []json.RawMessage
	}
}

// What the steps of a case share: what they saved, and their open calls.
type run struct {
	saved object
	calls map[string]*call
}

// A call, of which nothing is read before a step wants a message.
type call struct {
	grpc.ClientStream
	cancel   func()
	method   protoreflect.MethodDescriptor
	requests chan message
	messages []any
	last     message
	ending   object
}

// Connections to the targets by their names; all cases share them.
var channels = map[string]*grpc.ClientConn{}

var kinds = map[string]func(*run, step){
	"call":    (*run).call,
	"open":    (*run).open,
	"send":    func(run *run, step step) { run.calls[step.To].send(step) },
	"finish":  func(run *run, step step) { close(run.calls[step.To].requests) },
	"receive": (*run).receive,
	"cancel":  func(run *run, step step) { run.calls[step.From].cancel() },
	"end":     (*run).receive,
	"sleep":   func(run *run, step step) { time.Sleep(ms(step.Ms)) },
	"codec":   codec,
}

func (run *run) call(step step) {
	run.open(step)
	call := run.calls[step.As]
	for call.next() {
	}
	check("the end", step.Error, call.ending, run.saved)
	if step.Expect != nil { // An answer may be long, and its JSON longer.
		check("$", step.Expect, toJSON(call.last), run.saved)
	}
	if step.Contains != "" && !bytes.Contains(wireOf(call.last), decode(step.Contains)) {
		fail("the bytes %s are not in the answer", step.Contains)
	}
}

func (run *run) open(step step) {
	service, name, _ := strings.Cut(step.Method, "/")
	found := must(protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service)))
	method := found.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(name))
	headers := metadata.NewOutgoingContext(context.Background(), metadata.New(step.Metadata))
	ctx, cancel := context.WithTimeout(headers, cmp.Or(ms(step.DeadlineMs), time.Hour))
	many, requests := grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, make(chan message, sendable)
	stream := must(channels[step.Target].NewStream(ctx, &many, "/"+step.Method))
	go func() { // Sending waits where the server does not read; steps do not.
		for request := range requests {
			stream.SendMsg(request)
		}
		stream.CloseSend()
	}()
	run.calls[step.As] = &call{ClientStream: stream, cancel: cancel, method: method, requests: requests}
	if !method.IsStreamingClient() {
		run.calls[step.As].send(step)
		close(requests)
	}
}

func (call *call) send(step step) {
	request := fromJSON(newMessage(call.method.Input().FullName()), step.Request)
	for request = fromWire(request, decode(step.Append)); step.Times > 0; step.Times-- {
		call.requests <- request
	}
}

// Reads the next message; false when the call has ended.
func (call *call) next() bool {
	came, timer := newMessage(call.method.Output().FullName()), time.AfterFunc(patience, call.cancel)
	err := call.RecvMsg(came)
	if !timer.Stop() {
		fail("nothing came for %v, after %d messages", patience, len(call.messages))
	} else if err != nil {
		call.ending = endingOf(err)
		return false
	}
	call.last = came
	return true
}

// Reads as many messages as the step wants, or all.
func (run *run) receive(step step) {
	call, messages, isOver := run.calls[step.From], []any{}, false
	for !isOver && len(messages) != step.Count && call.next() {
		one := toJSON(call.last)
		messages, call.messages = append(messages, one), append(call.messages, one)
		isOver = step.Until != nil && try(func() { check("$", step.Until, one, run.saved) }) == nil
	}
	if step.Step == "end" {
		messages = append([]any{}, call.messages...)
		check("the end", step.Error, call.ending, run.saved)
	} else if call.ending != nil {
		fail("the call ended after %d messages: %s", len(messages), print(call.ending))
	}
	first, last := append(messages, absent)[0], append([]any{absent}, messages...)[len(messages)]
	whole := object{"messages": messages, "count": float64(len(messages)), "first": first, "last": last}
	for what, pattern := range step.Expect {
		list, _ := pattern.([]any)
		if value, isWhole := whole[what]; isWhole {
			check(what, pattern, value, run.saved)
		} else if what == "each" {
			check(what, object{"$each": pattern}, messages, run.saved)
		}
		for at := 0; what == "some" && at < len(list); at++ {
			check(what, object{"$some": list[at]}, messages, run.saved)
		}
		byPath, _ := pattern.(object)
		for path, pattern := range byPath {
			switch found := valuesAt(messages, strings.Split(path, ".")); what {
			case "gathered":
				check(path, pattern, found, run.saved)
			case "joined":
				check(path, pattern, fmt.Sprint(found...), run.saved)
			}
		}
	}
}

// Bytes, their message and its JSON are one and the same, whichever of them one begins with.
func codec(_ *run, step step) {
	name := protoreflect.FullName(step.Type)
	read, made := fromWire(newMessage(name), decode(step.Wire)), fromJSON(newMessage(name), step.JSON)
	for _, one := range []message{read, fromWire(newMessage(name), wireOf(read)), fromWire(newMessage(name), wireOf(made))} {
		check("$", parse[any](step.JSON), toJSON(one), nil)
		if written := print(wireOf(one)); step.SameBytes && written != print(step.Wire) {
			fail("expected the bytes %s, got %s", step.Wire, written)
		}
	}
}

// How a call ended: code, sentence, and the ErrorDetail that Stator puts into its status.
func endingOf(err error) object {
	if err == io.EOF {
		err = nil
	}
	ended := status.Convert(err)
	ending := object{"code": float64(ended.Code()), "message": ended.Message()}
	for _, detail := range ended.Details() {
		if sent, _ := detail.(message); proto.MessageName(sent) == "stator.common.v1.ErrorDetail" {
			ending["detail"] = toJSON(sent)
		}
	}
	return ending
}

func newMessage(name protoreflect.FullName) message {
	return must(protoregistry.GlobalTypes.FindMessageByName(name)).New().Interface()
}

func toJSON(from message) any                    { return parse[any](must(protojson.Marshal(from))) }
func wireOf(from message) []byte                 { return must(proto.Marshal(from)) }
func fromJSON(into message, text []byte) message { return must(into, protojson.Unmarshal(text, into)) }
func fromWire(into message, wire []byte) message { return must(into, merging.Unmarshal(wire, into)) }
func parse[T any](text []byte) (value T)         { must(0, json.Unmarshal(text, &value)); return value }
func print(value any) string                     { return string(must(json.Marshal(value))) }
func decode(text string) []byte                  { return must(base64.StdEncoding.DecodeString(text)) }
func ms(count int) time.Duration                 { return time.Duration(count) * time.Millisecond }
func fail(format string, facts ...any)           { panic(fmt.Sprintf(format, facts...)) }
func try(act func()) (reason any)                { defer func() { reason = recover() }(); act(); return nil }

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// How a case ended, and why. What is not as expected panics, as does what the libraries refuse.
func runCase(steps []json.RawMessage) (word string, reason any) {
	for _, raw := range steps {
		if target := parse[step](raw).Target; target != "" && channels[target] == nil {
			return "skip", "there is no target " + target
		}
	}
	run, word := run{object{}, map[string]*call{}}, "ok"
	for at := 0; word == "ok" && at < len(steps); at++ {
		step := step{Times: 1, Count: -1, Error: object{"code": 0.0}, Request: json.RawMessage("{}")}
		must(0, json.Unmarshal(fill(steps[at], run.saved), &step))
		until := time.Now().Add(ms(step.WithinMs))
		act := func() { check("kind of step", true, kinds[step.Step] != nil, nil); kinds[step.Step](&run, step) }
		for reason = try(act); reason != nil && time.Now().Before(until); reason = try(act) {
			time.Sleep(again)
		}
		if reason != nil {
			word, reason = "FAIL", fmt.Sprintf("step %d, %s: %v", at+1, step.Step, reason)
		}
	}
	for _, call := range run.calls {
		call.cancel()
	}
	return word, reason
}

func main() {
	open := func(name string) file { return parse[file](must(os.ReadFile(os.Args[1] + "/" + name))) }
	corpus, part := open("corpus.json"), strings.Join(os.Args[3:], "")
	check("version of the corpus", version, float64(corpus.Version), nil)
	limits := grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(corpus.ReceiveLimitBytes), grpc.MaxCallSendMsgSize(unlimited))
	for name, address := range parse[map[string]string](must(os.ReadFile(os.Args[2]))) {
		channels[name] = must(grpc.NewClient(address, limits, grpc.WithTransportCredentials(insecure.NewCredentials())))
	}
	remarks := map[string][]any{"FAIL": {}, "skip": {}}
	for _, name := range corpus.Files {
		for _, each := range open(name).Cases {
			if strings.Contains(each.Name, part) {
				word, reason := runCase(each.Steps)
				remarks[word] = append(remarks[word], object{"name": each.Name, "reason": reason})
				fmt.Println(word, each.Name, cmp.Or(reason, any("")))
			}
		}
	}
	passed, failed := len(remarks["ok"]), remarks["FAIL"]
	fmt.Printf(`{"passed": %d, "failed": %s, "skipped": %s}`+"\n", passed, print(failed), print(remarks["skip"]))
	os.Exit(min(1, len(failed)))
}
