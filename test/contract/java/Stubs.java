import com.google.gson.Gson;
import com.google.protobuf.*;
import com.google.protobuf.util.JsonFormat;
import io.grpc.MethodDescriptor;
import io.grpc.ServiceDescriptor;
import io.grpc.health.v1.HealthGrpc;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;

/** Every message and method of the generated code, which lies where this class does, by its full name. */
final class Stubs {
  static final Gson GSON = new Gson();

  private static final Map<String, Message> MESSAGES = new HashMap<>();
  private static final Map<String, MethodDescriptor<?, ?>> METHODS = new HashMap<>();

  static {
    try (var paths = Files.walk(Path.of(Stubs.class.getProtectionDomain().getCodeSource().getLocation().toURI()))) {
      var names = paths.map(file -> file.toString().replaceAll(".*/classes/(.*)\\.class", "$1").replace('/', '.'));
      for (var name : names.filter(name -> name.matches("com\\..*(?<!Example)")).toList()) add(Class.forName(name));
    } catch (Exception failed) {
      throw new ExceptionInInitializerError(failed);
    }
    HealthGrpc.getServiceDescriptor().getMethods().forEach(method -> METHODS.put(method.getFullMethodName(), method));
  }

  private static void add(Class<?> generated) throws ReflectiveOperationException {
    if (GeneratedMessage.class.isAssignableFrom(generated)) {
      var message = (Message) generated.getMethod("getDefaultInstance").invoke(null);
      MESSAGES.put(message.getDescriptorForType().getFullName(), message);
    } else if (generated.getName().endsWith("Grpc")) {
      var service = (ServiceDescriptor) generated.getMethod("getServiceDescriptor").invoke(null);
      service.getMethods().forEach(method -> METHODS.put(method.getFullMethodName(), method));
    }
  }

  static Message message(Object name) {
    return Objects.requireNonNull(MESSAGES.get(name), "the stubs have no message " + name);
  }

  @SuppressWarnings("unchecked")
  static MethodDescriptor<Message, Message> method(Object name) {
    var method = Objects.requireNonNull(METHODS.get(name), "the stubs have no method " + name);
    return (MethodDescriptor<Message, Message>) method;
  }

  static Message parse(Object name, ByteString bytes) throws InvalidProtocolBufferException {
    return message(name).getParserForType().parseFrom(bytes);
  }

  static Message read(Message type, Object json) throws InvalidProtocolBufferException {
    var builder = type.newBuilderForType();
    JsonFormat.parser().merge(GSON.toJson(json), builder);
    return builder.build();
  }

  static Object print(Message message) throws InvalidProtocolBufferException {
    return GSON.fromJson(JsonFormat.printer().print(message), Object.class);
  }

  static ByteString decode(Object base64) {
    return base64 instanceof String text ? ByteString.copyFrom(Base64.getDecoder().decode(text)) : ByteString.EMPTY;
  }

  static String encode(byte[] bytes) {
    return Base64.getEncoder().encodeToString(bytes);
  }
}
