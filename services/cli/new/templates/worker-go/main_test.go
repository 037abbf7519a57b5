package main

import (
	"bufio"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	openengine "example.com/stator/stubs/openengine/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// Starts the worker, asks it for twelve tokens, and tells it to end.
func TestAnswersAndDrains(t *testing.T) {
	program := filepath.Join(t.TempDir(), "worker")
	if said, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	worker := exec.Command(program)
	output, err := worker.StdoutPipe()
	check(t, err)
	check(t, worker.Start())
	defer worker.Process.Kill()
	lines := bufio.NewReader(output)
	line, err := lines.ReadString('\n')
	check(t, err)
	_, err = lines.ReadString('\n') // says that it is ready
	check(t, err)
	address := line[strings.LastIndex(line, " ")+1:]
	channel, err := grpc.NewClient(strings.TrimSpace(address), grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(t, err)
	defer channel.Close()
	request := &openengine.GenerateRequest{RequestId: "1", Input: &openengine.GenerateRequest_Prompt{Prompt: "Once upon"},
		Stopping: &openengine.StoppingOptions{MaxTokens: proto.Uint32(12)}}
	stream, err := openengine.NewInferenceClient(channel).Generate(context.Background(), request)
	check(t, err)
	text, tokens := "", uint32(0)
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			break
		}
		check(t, err)
		text, tokens = text+answer.GetToken().GetText(), answer.GetUsage().GetCompletionTokens()
	}
	if len(text) != 12 || tokens != 12 {
		t.Fatalf("%q has %d tokens", text, tokens)
	}
	check(t, worker.Process.Signal(syscall.SIGTERM))
	check(t, worker.Wait())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
