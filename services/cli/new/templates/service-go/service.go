// A Protobuf service that others find where the processes of Stator meet: go run . HUB, as host:port.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

const serviceName = "words.v1.WordService"

type words struct{}

func (words) count(text string) int64 { return int64(len(strings.Fields(text))) }

// What protoc would make of words.proto; do that for larger contracts.
var description = grpc.ServiceDesc{
	ServiceName: serviceName,
	HandlerType: (*interface{ count(string) int64 })(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Count",
		Handler: func(server any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			request := new(wrapperspb.StringValue)
			if err := decode(request); err != nil {
				return nil, err
			}
			return wrapperspb.Int64(server.(words).count(request.Value)), nil
		},
	}},
}

// Serves on a free port of this machine.
func serve() (*grpc.Server, string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	server := grpc.NewServer()
	server.RegisterService(&description, words{})
	go server.Serve(listener)
	return server, listener.Addr().String(), nil
}

func main() {
	hub := "127.0.0.1:8005"
	if len(os.Args) > 1 {
		hub = os.Args[1]
	}
	over := make(chan os.Signal, 1)
	signal.Notify(over, os.Interrupt, syscall.SIGTERM)
	server, address, err := serve()
	must(err)
	announcement, err := Announce(hub, address, serviceName)
	must(err)
	fmt.Printf("%s on %s. Ctrl-C ends it.\n", serviceName, address)
	<-over
	announcement.Close()
	server.GracefulStop()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
