package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	discovery "example.com/stator/stubs/stator/discovery/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const ttl = 10 * time.Second

// Announcement keeps a server on the list of a hub, under a lease, until it is closed or this process is gone.
type Announcement struct {
	channel  *grpc.ClientConn
	hub      discovery.DiscoveryServiceClient
	instance *discovery.InstanceRecord
	lease    uint64
	over     chan struct{}
	ended    chan struct{}
}

// Announce puts a server that answers these services on the list.
func Announce(hub string, address string, services ...string) (*Announcement, error) {
	channel, err := grpc.NewClient(hub, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	a := &Announcement{
		channel: channel,
		hub:     discovery.NewDiscoveryServiceClient(channel),
		over:    make(chan struct{}),
		ended:   make(chan struct{}),
		instance: &discovery.InstanceRecord{
			InstanceId: rand.Uint64() | 1,
			Role:       discovery.InstanceRole_INSTANCE_ROLE_SERVICE,
			State:      discovery.InstanceState_INSTANCE_STATE_READY,
			Address:    address,
			Services:   services,
		},
	}
	if err := a.publish(); err != nil {
		channel.Close()
		return nil, err
	}
	go a.keep()
	return a, nil
}

func (a *Announcement) publish() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	granted, err := a.hub.GrantLease(ctx, &discovery.GrantLeaseRequest{TtlMs: uint32(ttl.Milliseconds())})
	if err != nil {
		return err
	}
	a.lease = granted.LeaseId
	// Another incarnation for each lease: others may have taken the one before for dead.
	a.instance.Incarnation = rand.Uint64() | 1
	record := &discovery.Record{
		Key:   fmt.Sprintf("instances/%016x", a.instance.InstanceId),
		Value: &discovery.Record_Instance{Instance: a.instance},
	}
	_, err = a.hub.Put(ctx, &discovery.PutRequest{LeaseId: a.lease, Records: []*discovery.Record{record}})
	return err
}

func (a *Announcement) keep() {
	defer close(a.ended)
	for {
		select {
		case <-a.over:
			return
		case <-time.After(ttl / 3):
		}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err := a.hub.KeepAlive(ctx, &discovery.KeepAliveRequest{LeaseId: a.lease})
		cancel()
		if status.Code(err) != codes.NotFound {
			continue
		}
		if err := a.publish(); err != nil {
			fmt.Fprintln(os.Stderr, "not announced yet:", err)
		}
	}
}

// Close takes the server off the list.
func (a *Announcement) Close() {
	close(a.over)
	<-a.ended
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// A lease that cannot be revoked ends by itself.
	a.hub.RevokeLease(ctx, &discovery.RevokeLeaseRequest{LeaseId: a.lease})
	a.channel.Close()
}

// Find tells the addresses of the servers that answer a service now.
func Find(hub string, service string) ([]string, error) {
	channel, err := grpc.NewClient(hub, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	defer channel.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	view, err := discovery.NewDiscoveryServiceClient(channel).List(ctx, &discovery.ListRequest{Prefix: "instances"})
	if err != nil {
		return nil, err
	}
	var addresses []string
	for _, record := range view.Records {
		instance := record.GetInstance()
		isReady := instance.GetState() == discovery.InstanceState_INSTANCE_STATE_READY
		if isReady && slices.Contains(instance.Services, service) {
			addresses = append(addresses, instance.Address)
		}
	}
	return addresses, nil
}
