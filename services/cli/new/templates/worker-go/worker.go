package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	openengine "example.com/stator/stubs/openengine/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const places, block, mostBlocks, kept = 256, 16, 65_536, 4_096

var headers = map[string]*regexp.Regexp{
	"openengine-priority":       regexp.MustCompile(`^-?[01]?\d{1,9}$`),
	"openengine-target-dp-rank": regexp.MustCompile(`^[0-3]?\d{1,9}$`),
	"traceparent":               regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`),
}

// Worker answers openengine.v1.
type Worker struct {
	openengine.UnimplementedInferenceServer
	openengine.UnimplementedControlServer
	member  *Member
	mutex   sync.Mutex
	open    map[string]chan struct{} // closed to end the request of that name
	ended   []string                 // names of requests that were here
	blocks  map[string]*openengine.KvEvent
	order   []*openengine.KvEvent // of blocks, as they came
	batches []*openengine.KvEventBatch
	number  uint64
	news    chan struct{} // closed when there is another batch
}

type refusal struct {
	isTrue bool
	code   codes.Code
	why    string
}

func (w *Worker) Generate(request *openengine.GenerateRequest, stream openengine.Inference_GenerateServer) error {
	name, sampling, stopping, response := request.RequestId, request.GetSampling(), request.GetStopping(), request.GetResponse()
	engine, told := w.member.engine, metadata.MD{}
	if incoming, has := metadata.FromIncomingContext(stream.Context()); has {
		told = incoming
	}
	if w.member.state() != ready {
		return status.Error(codes.Unavailable, "It loads or drains.")
	}
	tokens := slices.Clone(request.GetTokenIds().GetIds())
	if len(tokens) == 0 {
		tokens = engine.encode(request.GetPrompt())
	}
	prompt, room := len(tokens), engine.context-len(tokens)
	most, least := room, int(stopping.GetMinTokens())
	if stopping != nil && stopping.MaxTokens != nil {
		most = min(room, int(stopping.GetMaxTokens()))
	}
	var stopIds []uint32
	var stops []string
	isEmpty, isBad := false, len(tokens) > 0 && int64(slices.Max(tokens)) >= int64(engine.vocabulary)
	for _, each := range stopping.GetConditions() {
		switch is := each.Condition.(type) {
		case *openengine.StopCondition_StopTokenId:
			stopIds = append(stopIds, is.StopTokenId)
		case *openengine.StopCondition_StopText:
			stops = append(stops, is.StopText)
		default:
			isEmpty = true
		}
	}
	for key, form := range headers {
		isBad = isBad || len(told[key]) > 1 || len(told[key]) == 1 && !form.MatchString(told[key][0])
	}
	lacks := request.Guided != nil || len(request.Media) > 0 || request.GetKv().GetSession() != nil || request.GetKv().GetCacheSalt() != ""
	lacks = lacks || response.GetReturnOutputLogprobs() || response.GetReturnPromptLogprobs()
	w.mutex.Lock()
	for _, refused := range []refusal{
		{request.Model != "" && request.Model != w.member.model, codes.NotFound, "There is no model of that name here."},
		{request.LoraName != "", codes.NotFound, "There is no adapter of that name here."},
		{name == "" || prompt == 0, codes.InvalidArgument, "request_id and input must not be empty."},
		{w.open[name] != nil, codes.AlreadyExists, "A request of that name runs."},
		{room <= 0, codes.InvalidArgument, fmt.Sprintf("The prompt has %d tokens, the context %d.", prompt, engine.context)},
		{most <= 0 || least > most, codes.InvalidArgument, "min_tokens and max_tokens do not fit."},
		{isEmpty || sampling.GetTemperature() < 0, codes.InvalidArgument, "A stop condition is empty, or temperature below 0."},
		{sampling != nil && sampling.NumSequences != nil && *sampling.NumSequences != 1, codes.InvalidArgument, "One sequence."},
		{isBad, codes.InvalidArgument, "A token is not in the vocabulary, or a header malformed."},
		{lacks, codes.Unimplemented, "The engine does not have that."},
		{len(w.open) >= places, codes.Unavailable, "Every place is taken."},
	} {
		if refused.isTrue {
			w.mutex.Unlock()
			return status.Error(refused.code, refused.why)
		}
	}
	gone := make(chan struct{})
	w.open[name] = gone
	cached := w.remember(tokens)
	w.mutex.Unlock()
	defer w.forget(name)
	if request.GetKv().GetBypassPrefixCache() {
		cached = 0
	}
	seed := rand.Uint64()
	if sampling != nil && sampling.Temperature != nil && *sampling.Temperature == 0 || sampling.GetTopK() == 1 {
		seed = 0
	} else if sampling != nil && sampling.Seed != nil {
		seed = *sampling.Seed
	}
	var held []uint32 // tokens whose text is not whole, or may begin a stop text
	var end *openengine.GenerationFinished
	for made, given := 0, 0; ; {
		select {
		case <-stream.Context().Done():
			return stream.Context().Err()
		case <-gone:
			end, held = &openengine.GenerationFinished{Reason: openengine.FinishReason_FINISH_REASON_CANCELLED}, nil
		default:
		}
		text := ""
		if end == nil {
			end, text = w.draw(&tokens, &held, seed, least, most, &made, stopIds, stops)
		}
		if end != nil || !mayGoOn(text, stops) {
			if len(held) > 0 || text != "" {
				given += len(held)
				token := &openengine.TokenOutput{OutputIndex: proto.Uint32(0), Text: text}
				for _, id := range held {
					token.Tokens = append(token.Tokens, &openengine.TokenInfo{TokenId: id})
				}
				event := &openengine.GenerateResponse_Token{Token: token}
				if err := stream.Send(&openengine.GenerateResponse{RequestId: name, Event: event}); err != nil {
					return err
				}
			}
			held = nil
		}
		if end != nil {
			end.OutputIndex = proto.Uint32(0)
			usage := &openengine.Usage{PromptTokens: uint32(prompt), CompletionTokens: uint32(given), TotalTokens: uint32(prompt + given),
				CachedPromptTokens: proto.Uint32(uint32(cached))}
			event := &openengine.GenerateResponse_Finished{Finished: end}
			return stream.Send(&openengine.GenerateResponse{RequestId: name, Event: event, Usage: usage})
		}
	}
}

// draw adds a token to an answer: its end, where it is one, and the text of what is held.
func (w *Worker) draw(tokens, held *[]uint32, seed uint64, least, most int, made *int, stopIds []uint32, stops []string) (*openengine.GenerationFinished, string) {
	engine := w.member.engine
	stop := openengine.FinishReason_FINISH_REASON_STOP
	token, goesOn := engine.next(*tokens, seed)
	if !goesOn {
		return &openengine.GenerationFinished{Reason: stop}, engine.decode(*held)
	}
	*made++
	*tokens = append(*tokens, token)
	if *made > least && slices.Contains(stopIds, token) {
		match := &openengine.StopMatch{Match: &openengine.StopMatch_StopTokenId{StopTokenId: token}}
		return &openengine.GenerationFinished{Reason: stop, StopMatch: match}, engine.decode(*held)
	}
	*held = append(*held, token)
	text := engine.decode(*held)
	for _, each := range stops {
		if at := strings.Index(text, each); at >= 0 && *made > least {
			for len(engine.decode(*held)) > at {
				*held = (*held)[:len(*held)-1]
			}
			match := &openengine.StopMatch{Match: &openengine.StopMatch_StopText{StopText: each}}
			return &openengine.GenerationFinished{Reason: stop, StopMatch: match}, text[:at]
		}
	}
	if *made >= most {
		return &openengine.GenerationFinished{Reason: openengine.FinishReason_FINISH_REASON_LENGTH}, strings.ToValidUTF8(text, "\ufffd")
	}
	return nil, text
}

// mayGoOn tells whether a text may be the beginning of a stop text, or lacks bytes of a letter.
func mayGoOn(text string, stops []string) bool {
	for _, stop := range stops {
		for n := 1; n < len(stop); n++ {
			if strings.HasSuffix(text, stop[:n]) {
				return true
			}
		}
	}
	return !utf8.ValidString(text)
}

func (w *Worker) forget(name string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	delete(w.open, name)
	w.ended = append(w.ended, name)
	w.ended = w.ended[max(0, len(w.ended)-kept):]
}

// remember keeps the names of a prompt's blocks, and tells how many of its tokens were there before.
func (w *Worker) remember(tokens []uint32) (known int) {
	var parent []byte
	for at := block; at <= len(tokens); at += block {
		ids := tokens[at-block : at]
		sum := sha256.Sum256(fmt.Append(parent, ids))
		name := sum[:8]
		if w.blocks[string(name)] != nil {
			known = at
		} else if len(w.blocks) < mostBlocks {
			stored := &openengine.BlockStored{BlockHashes: []*openengine.KvBlockHash{{Value: name, Encoding: "bytes"}}, TokenIds: slices.Clone(ids), BlockSize: block}
			if parent != nil {
				stored.ParentBlockHash = &openengine.KvBlockHash{Value: parent, Encoding: "bytes"}
			}
			event := &openengine.KvEvent{Event: &openengine.KvEvent_BlockStored{BlockStored: stored}}
			w.blocks[string(name)], w.order, w.number = event, append(w.order, event), w.number+1
			w.batches = append(w.batches, batch(w.number, event))
			w.batches = w.batches[max(0, len(w.batches)-kept):]
			close(w.news)
			w.news = make(chan struct{})
		}
		parent = name
	}
	return min(known, len(tokens)-1)
}

func batch(number uint64, event *openengine.KvEvent) *openengine.KvEventBatch {
	return &openengine.KvEventBatch{SequenceNumber: number, TimestampUnixNanos: uint64(time.Now().UnixNano()), Events: []*openengine.KvEvent{event}}
}

func (w *Worker) SubscribeKvEvents(request *openengine.SubscribeKvEventsRequest, stream openengine.Control_SubscribeKvEventsServer) error {
	send := func(batch *openengine.KvEventBatch) error {
		return stream.Send(&openengine.SubscribeKvEventsResponse{Event: &openengine.SubscribeKvEventsResponse_Batch{Batch: batch}})
	}
	w.mutex.Lock()
	at, snapshot := request.StartSequenceNumber, w.order[:len(w.order):len(w.order)]
	isKept := at > 0 && at+uint64(len(w.batches)) > w.number && at <= w.number+1
	if !isKept {
		at = w.number + 1
	}
	w.mutex.Unlock()
	if !isKept && !request.IncludeSnapshot && request.StartSequenceNumber > 0 {
		return status.Error(codes.InvalidArgument, "start_sequence_number: that batch is not kept.")
	}
	for _, event := range snapshot {
		if isKept || !request.IncludeSnapshot {
			break
		}
		if err := send(batch(at-1, event)); err != nil {
			return err
		}
	}
	for {
		w.mutex.Lock()
		news, number, batches := w.news, w.number, w.batches
		w.mutex.Unlock()
		if at > number {
			select {
			case <-news:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
			continue
		}
		if at+uint64(len(batches)) <= number {
			return nil // too far behind: it subscribes again
		}
		if err := send(batches[uint64(len(batches))-1-(number-at)]); err != nil {
			return err
		}
		at++
	}
}

func (w *Worker) Abort(_ context.Context, request *openengine.AbortRequest) (*openengine.AbortResponse, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	name, names := request.GetRequestId(), []string{request.GetRequestId()}
	switch request.Target.(type) {
	case nil:
		return nil, status.Error(codes.InvalidArgument, "target: expected one.")
	case *openengine.AbortRequest_AllRequests:
		names = nil
		for each := range w.open {
			names = append(names, each)
		}
	default:
		if w.open[name] == nil && slices.Contains(w.ended, name) {
			return &openengine.AbortResponse{Status: openengine.AbortStatus_ABORT_STATUS_ALREADY_FINISHED}, nil
		} else if w.open[name] == nil {
			return nil, status.Error(codes.NotFound, "That is not known here.")
		}
	}
	for _, each := range names {
		select {
		case <-w.open[each]:
		default:
			close(w.open[each])
		}
	}
	return &openengine.AbortResponse{Status: openengine.AbortStatus_ABORT_STATUS_ABORTED}, nil
}

func (w *Worker) GetServerInfo(context.Context, *openengine.GetServerInfoRequest) (*openengine.ServerInfo, error) {
	return &openengine.ServerInfo{EngineName: "mine", EngineRole: openengine.EngineRole_ENGINE_ROLE_AGGREGATED, InstanceId: w.member.id(),
		SupportedModels: []string{w.member.model}, SchemaRevision: 1, MinimumClientRevision: 1, SchemaRelease: "stator-0.1.0",
		Capacity: &openengine.DeploymentCapacity{KvBlockSize: proto.Uint32(block), TotalKvBlocks: proto.Uint64(mostBlocks), MaxRunningRequests: proto.Uint64(places)}}, nil
}

func (w *Worker) GetModelInfo(_ context.Context, request *openengine.GetModelInfoRequest) (*openengine.ModelInfo, error) {
	if request.Model != "" && request.Model != w.member.model {
		return nil, status.Error(codes.NotFound, "There is no model of that name here.")
	}
	no, yes := proto.Bool(false), proto.Bool(true)
	lacks := &openengine.LogprobCapabilities{Supported: no}
	return &openengine.ModelInfo{ServedModelName: w.member.model, MaxContextLength: proto.Uint32(uint32(loadEngine().context)),
		SupportsTextInput: yes, SupportsTokenIdsInput: yes, SupportsLora: no, SupportsMultimodal: no,
		Generation: &openengine.GenerationCapabilities{PromptLogprobs: lacks, OutputLogprobs: lacks, SupportsCacheSalt: no,
			GuidedDecoding:   &openengine.GuidedDecodingCapabilities{Supported: no},
			MaxNumSequences:  proto.Uint32(1),
			SupportsPriority: no, SupportsStopInOutput: no, SupportsPrefixCacheBypass: yes}}, nil
}

func (w *Worker) GetLoad(context.Context, *openengine.GetLoadRequest) (*openengine.LoadInfo, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return &openengine.LoadInfo{InstanceId: w.member.id(), TimestampUnixNanos: proto.Uint64(uint64(time.Now().UnixNano())),
		RunningRequests: proto.Uint32(uint32(len(w.open))), QueuedRequests: proto.Uint32(0),
		UsedKvBlocks: proto.Uint64(uint64(len(w.blocks))), TotalKvBlocks: proto.Uint64(mostBlocks)}, nil
}

func (w *Worker) Health(_ context.Context, request *openengine.HealthRequest) (*openengine.HealthResponse, error) {
	state := health[w.member.state()]
	isOther := request.Role == openengine.EngineRole_ENGINE_ROLE_PREFILL || request.Role == openengine.EngineRole_ENGINE_ROLE_DECODE
	if isOther || request.Model != "" && request.Model != w.member.model {
		state = openengine.HealthState_HEALTH_STATE_NOT_READY
	}
	return &openengine.HealthResponse{State: state, Checks: []*openengine.HealthCheck{{Name: "inference_probe", State: state}}}, nil
}

func (w *Worker) LoadLora(context.Context, *openengine.LoadLoraRequest) (*openengine.LoadLoraResponse, error) {
	return nil, status.Error(codes.FailedPrecondition, "This worker takes no adapters.")
}

func (w *Worker) UnloadLora(context.Context, *openengine.UnloadLoraRequest) (*openengine.UnloadLoraResponse, error) {
	return nil, status.Error(codes.FailedPrecondition, "This worker takes no adapters.")
}

func (w *Worker) ListLoras(context.Context, *openengine.ListLorasRequest) (*openengine.ListLorasResponse, error) {
	return nil, status.Error(codes.FailedPrecondition, "This worker takes no adapters.")
}
