package main

import (
	"context"
	"os"
	"slices"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func start(t *testing.T) string {
	server, address, err := serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return address
}

func TestCountsWords(t *testing.T) {
	channel, err := grpc.NewClient(start(t), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer channel.Close()
	answer := new(wrapperspb.Int64Value)
	err = channel.Invoke(context.Background(), "/"+serviceName+"/Count", wrapperspb.String("once upon a time"), answer)
	if err != nil || answer.Value != 4 {
		t.Fatalf("4 words are %d, %v", answer.Value, err)
	}
}

func TestIsFoundUntilItIsClosed(t *testing.T) {
	hub := os.Getenv("STATOR_HUB")
	if hub == "" {
		t.Skip("set STATOR_HUB=HOST:PORT; `npx stator hub --hub-port 8005` starts one")
	}
	address := start(t)
	announcement, err := Announce(hub, address, serviceName)
	if err != nil {
		t.Fatal(err)
	}
	found, err := Find(hub, serviceName)
	if err != nil || !slices.Contains(found, address) {
		t.Fatalf("%s is not among %v, %v", address, found, err)
	}
	announcement.Close()
	found, err = Find(hub, serviceName)
	if err != nil || slices.Contains(found, address) {
		t.Fatalf("%s is still among %v, %v", address, found, err)
	}
}
