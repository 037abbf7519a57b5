// Serves the model of engine.go as openengine.v1, and registers with a hub: go run . -model NAME -hub HOST:PORT
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/signal"
	"regexp"
	"sync/atomic"
	"syscall"
	"time"

	openengine "example.com/stator/stubs/openengine/v1"
	discovery "example.com/stator/stubs/stator/discovery/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const leaseMs, drainSeconds = 10_000, 30

const loading, ready, draining = discovery.InstanceState_INSTANCE_STATE_LOADING, discovery.InstanceState_INSTANCE_STATE_READY, discovery.InstanceState_INSTANCE_STATE_DRAINING

var health = map[discovery.InstanceState]openengine.HealthState{
	loading:  openengine.HealthState_HEALTH_STATE_STARTING,
	ready:    openengine.HealthState_HEALTH_STATE_READY,
	draining: openengine.HealthState_HEALTH_STATE_DRAINING,
}

// Member is what others know of this process.
type Member struct {
	model, address string
	engine         Engine
	instance       uint64
	at             atomic.Int32
	changed        chan struct{}
}

func (m *Member) state() discovery.InstanceState { return discovery.InstanceState(m.at.Load()) }

func (m *Member) id() string { return fmt.Sprintf("%016x", m.instance) }

func (m *Member) enter(state discovery.InstanceState) {
	m.at.Store(int32(state))
	m.changed <- struct{}{}
}

func (m *Member) records(incarnation uint64) []*discovery.Record {
	instance := &discovery.InstanceRecord{InstanceId: m.instance, Incarnation: incarnation, Role: discovery.InstanceRole_INSTANCE_ROLE_WORKER,
		Address: m.address, State: m.state(), Services: []string{"openengine.v1.Inference", "openengine.v1.Control"}, Engine: "mine",
		Ranks: 1, MaxRunningRequests: places}
	records := []*discovery.Record{{Key: "instances/" + m.id(), Value: &discovery.Record_Instance{Instance: instance}}}
	if m.state() == loading {
		return records
	}
	instance.Models = []string{m.model}
	card := &discovery.ModelCard{Name: m.model, InstanceId: m.instance, ContextTokens: uint32(m.engine.context),
		Capabilities: &discovery.Capabilities{Generate: true}, Input: discovery.ModelInput_MODEL_INPUT_TEXT}
	segment := regexp.MustCompile(`[^a-z0-9.-]`).ReplaceAllStringFunc(m.model, func(text string) string { return fmt.Sprintf("_%02x", text) })
	return append(records, &discovery.Record{Key: "models/" + segment + "/" + m.id(), Value: &discovery.Record_Model{Model: card}})
}

// stay keeps the records in the hub, under a lease that lives until it is told to go.
func (m *Member) stay(hub string, leave <-chan struct{}) {
	channel, err := grpc.NewClient(hub, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	store, lease, incarnation, isTold := discovery.NewDiscoveryServiceClient(channel), uint64(0), rand.Uint64()|1, false
	for {
		within, done := context.WithTimeout(context.Background(), leaseMs/3*time.Millisecond)
		var err error
		if lease == 0 {
			var granted *discovery.GrantLeaseResponse
			granted, err = store.GrantLease(within, &discovery.GrantLeaseRequest{TtlMs: leaseMs})
			lease, isTold = granted.GetLeaseId(), false
		}
		if err == nil && !isTold {
			_, err = store.Put(within, &discovery.PutRequest{LeaseId: lease, Records: m.records(incarnation)})
			isTold = err == nil
		} else if err == nil {
			_, err = store.KeepAlive(within, &discovery.KeepAliveRequest{LeaseId: lease})
		}
		done()
		pause := time.After(leaseMs / 3 * time.Millisecond)
		if err != nil {
			fmt.Printf("The hub at %s says: %v\n", hub, err)
			pause = time.After(500 * time.Millisecond)
		}
		if status.Code(err) == codes.NotFound { // it lapsed: others took this worker for dead
			lease, incarnation = 0, rand.Uint64()|1
		}
		select {
		case <-m.changed:
			isTold = false
		case <-pause:
		case <-leave:
			_, err := store.RevokeLease(context.Background(), &discovery.RevokeLeaseRequest{LeaseId: lease})
			must(err)
			return
		}
	}
}

func main() {
	model, hub := flag.String("model", "mine", "name that clients use"), flag.String("hub", "", "HOST:PORT of the hub")
	listen := flag.String("listen", "127.0.0.1:0", "HOST:PORT to serve at")
	flag.Parse()
	listener, err := net.Listen("tcp", *listen)
	must(err)
	member := &Member{model: *model, address: listener.Addr().String(), instance: rand.Uint64() | 1, changed: make(chan struct{}, 4)}
	member.at.Store(int32(loading))
	worker := &Worker{member: member, open: map[string]chan struct{}{}, blocks: map[string]*openengine.KvEvent{}, news: make(chan struct{})}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(16 << 20))
	openengine.RegisterInferenceServer(server, worker)
	openengine.RegisterControlServer(server, worker)
	go func() { must(server.Serve(listener)) }()
	told, leave, left := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(told, syscall.SIGTERM, os.Interrupt)
	fmt.Printf("%s loads on %s\n", *model, member.address)
	if *hub != "" {
		go func() { member.stay(*hub, leave); close(left) }()
	} else {
		close(left)
	}
	member.engine = loadEngine()
	member.enter(ready)
	fmt.Printf("%s is ready\n", *model)
	<-told
	member.enter(draining)
	for until := time.Now().Add(drainSeconds * time.Second); time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
		worker.mutex.Lock()
		open := len(worker.open)
		worker.mutex.Unlock()
		if open == 0 {
			break
		}
	}
	close(leave)
	<-left
	time.AfterFunc(time.Second, server.Stop)
	server.GracefulStop()
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
