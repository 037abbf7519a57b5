import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import io.grpc.*;
import io.grpc.protobuf.StatusProto;
import java.util.*;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** A call of any kind. No message is asked for before a step wants it. */
final class OpenCall extends ClientCall.Listener<Message> {
  private static final long PATIENCE_MS = 20_000;
  private static final Metadata.AsciiMarshaller<String> TEXT = Metadata.ASCII_STRING_MARSHALLER;

  final ClientCall<Message, Message> call;
  final List<Object> messages = new ArrayList<>();
  Map<String, Object> ending;
  private final MethodDescriptor<Message, Message> method;
  private final LinkedBlockingQueue<Object> came = new LinkedBlockingQueue<>();

  OpenCall(Channel channel, Map<?, ?> step) throws Exception {
    method = Stubs.method(step.get("method"));
    var options = CallOptions.DEFAULT;
    if (step.get("deadlineMs") instanceof Double ms)
      options = options.withDeadlineAfter(ms.longValue(), TimeUnit.MILLISECONDS);
    var headers = new Metadata();
    if (step.get("metadata") instanceof Map<?, ?> given)
      given.forEach((name, value) -> headers.put(Metadata.Key.of((String) name, TEXT), (String) value));
    call = channel.newCall(method, options);
    call.start(this, headers);
    if (!method.getType().clientSendsOneMessage() && !step.containsKey("request")) return;
    send(step);
    call.halfClose();
  }

  /** What is appended becomes fields that the message keeps, though it does not know them. */
  void send(Map<?, ?> step) throws Exception {
    var type = ((MethodDescriptor.PrototypeMarshaller<Message>) method.getRequestMarshaller()).getMessagePrototype();
    var request = Stubs.read(type, step.containsKey("request") ? step.get("request") : Map.of());
    call.sendMessage(request.toBuilder().mergeFrom(Stubs.decode(step.get("append"))).build());
  }

  /** The next message; null when the call has ended. */
  @SuppressWarnings("unchecked")
  Message next() throws InterruptedException {
    if (ending != null) return null;
    call.request(1);
    var next = came.poll(PATIENCE_MS, TimeUnit.MILLISECONDS);
    if (next == null) throw new IllegalStateException("nothing came for 20 s, after " + messages.size() + " messages");
    if (next instanceof Message message) return message;
    ending = (Map<String, Object>) next;
    return null;
  }

  @Override
  public void onMessage(Message message) {
    came.add(message);
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    var ending = new HashMap<String, Object>();
    ending.put("code", (double) status.getCode().value());
    ending.put("message", Objects.requireNonNullElse(status.getDescription(), ""));
    try {
      for (var detail : StatusProto.fromStatusAndTrailers(status, trailers).getDetailsList())
        if (detail.getTypeUrl().endsWith("/stator.common.v1.ErrorDetail"))
          ending.put("detail", Stubs.print(Stubs.parse("stator.common.v1.ErrorDetail", detail.getValue())));
    } catch (InvalidProtocolBufferException failed) {
      ending.put("detail", failed);
    }
    came.add(ending);
  }
}
