import io.grpc.*;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.*;
import java.util.stream.Collectors;

/** Runs the golden corpus: Runner CORPUS_FOLDER TARGETS_FILE [PART_OF_A_NAME]. ../corpus/README.md has the format. */
final class Runner {
  private final Map<String, ManagedChannel> channels;
  private final Map<Object, OpenCall> calls = new HashMap<>();
  private final Matching matching = new Matching();

  private Runner(Map<String, ManagedChannel> channels) {
    this.channels = channels;
  }

  private void run(Map<?, ?> step) throws Exception {
    var call = calls.get(step.containsKey("to") ? step.get("to") : step.get("from"));
    switch ((String) step.get("step")) {
      case "call" -> runCall(step);
      case "open" -> calls.put(step.get("as"), open(step));
      case "send" -> {
        for (int sent = 0; sent < number(step, "times", 1); sent++) call.send(step);
      }
      case "finish" -> call.call.halfClose();
      case "receive" -> runReceive(step, call);
      case "cancel" -> call.call.cancel("by the case", null);
      case "end" -> {
        for (var came = call.next(); came != null; came = call.next()) call.messages.add(Stubs.print(came));
        matching.check("the end", errorOf(step), call.ending);
        checkMessages(step, call.messages);
      }
      case "sleep" -> Thread.sleep(number(step, "ms", 0));
      case "codec" -> runCodec(step);
      default -> throw new IllegalStateException("the runner does not know this kind of step");
    }
  }

  private void runCall(Map<?, ?> step) throws Exception {
    var until = System.currentTimeMillis() + number(step, "withinMs", 0);
    while (true) {
      try {
        callOnce(step);
        return;
      } catch (IllegalStateException failed) {
        if (System.currentTimeMillis() >= until) throw failed;
        Thread.sleep(50);
      }
    }
  }

  private void callOnce(Map<?, ?> step) throws Exception {
    var call = open(step);
    var answer = call.next();
    while (call.next() != null);
    matching.check("the end", errorOf(step), call.ending);
    if (answer != null && step.containsKey("expect")) matching.check("$", step.get("expect"), Stubs.print(answer));
    if (answer == null || !step.containsKey("contains")) return;
    // As Latin-1 each byte is a letter.
    var bytes = answer.toByteString().toString(StandardCharsets.ISO_8859_1);
    var isThere = bytes.contains(Stubs.decode(step.get("contains")).toString(StandardCharsets.ISO_8859_1));
    if (!isThere) throw new IllegalStateException("the bytes " + step.get("contains") + " are not in the answer");
  }

  private void runReceive(Map<?, ?> step, OpenCall call) throws Exception {
    var start = call.messages.size();
    var count = number(step, "count", Integer.MAX_VALUE);
    do {
      var came = call.next();
      if (came == null) throw new IllegalStateException("the call ended: " + call.ending);
      call.messages.add(Stubs.print(came));
      var last = call.messages.get(call.messages.size() - 1);
      if (step.containsKey("until") && matching.matches(step.get("until"), last)) break;
    } while (call.messages.size() < start + count);
    checkMessages(step, call.messages.subList(start, call.messages.size()));
  }

  private void checkMessages(Map<?, ?> step, List<?> messages) {
    Map<?, ?> expect = step.get("expect") instanceof Map<?, ?> given ? given : Map.of();
    expect.forEach((what, pattern) -> {
      switch ((String) what) {
        case "messages" -> matching.check("messages", pattern, messages);
        case "first" -> matching.check("first", pattern, messages.isEmpty() ? null : messages.get(0));
        case "last" -> matching.check("last", pattern, messages.isEmpty() ? null : messages.get(messages.size() - 1));
        case "count" -> matching.check("count", pattern, (double) messages.size());
        case "each" -> matching.check("each", Map.of("$each", pattern), messages);
        case "some" -> ((List<?>) pattern).forEach(part -> matching.check("some", Map.of("$some", part), messages));
        case "gathered", "joined" -> ((Map<?, ?>) pattern).forEach((path, part) -> {
          var values = Matching.valuesAt(messages, (String) path);
          var joined = values.stream().map(String::valueOf).collect(Collectors.joining());
          matching.check(what + " " + path, part, what.equals("joined") ? joined : values);
        });
        default -> throw new IllegalStateException("the runner does not know " + what);
      }
    });
  }

  /** Bytes, their message and its JSON are one and the same, whichever of them one begins with. */
  private void runCodec(Map<?, ?> step) throws Exception {
    var type = step.get("type");
    var again = Stubs.parse(type, Stubs.decode(step.get("wire"))).toByteString();
    var fromJson = Stubs.read(Stubs.message(type), step.get("json")).toByteString();
    for (var bytes : List.of(Stubs.decode(step.get("wire")), again, fromJson)) {
      matching.check("$", Map.of("$equal", step.get("json")), Stubs.print(Stubs.parse(type, bytes)));
      var written = Stubs.encode(bytes.toByteArray());
      if (step.containsKey("sameBytes")) matching.check("the bytes", step.get("wire"), written);
    }
  }

  private OpenCall open(Map<?, ?> step) throws Exception {
    return new OpenCall(channels.get(step.get("target")), step);
  }

  private static Object errorOf(Map<?, ?> step) {
    return step.containsKey("error") ? step.get("error") : Map.of("code", 0.0);
  }

  private static int number(Map<?, ?> step, String field, int absent) {
    return step.get(field) instanceof Double given ? given.intValue() : absent;
  }

  /** Why a case fails; empty when it passes. */
  private String runCase(List<Map<?, ?>> steps) {
    var at = 0;
    try {
      for (; at < steps.size(); at++) run((Map<?, ?>) matching.fill(steps.get(at)));
      return "";
    } catch (Exception failed) {
      return "step " + (at + 1) + ", " + steps.get(at).get("step") + ": " + failed;
    } finally {
      calls.values().forEach(call -> call.call.cancel("the case is over", null));
    }
  }

  private record Whole(int version, int receiveLimitBytes, List<String> files) {}

  private record Cases(List<Case> cases) {}

  private record Case(String name, List<Map<?, ?>> steps) {}

  private record Remark(String name, String reason) {}

  private static <T> T read(Class<T> type, String... path) throws Exception {
    return Stubs.GSON.fromJson(Files.readString(Path.of("", path)), type);
  }

  public static void main(String[] args) throws Exception {
    var whole = read(Whole.class, args[0], "corpus.json");
    if (whole.version != 1) throw new IllegalStateException("this runner knows version 1 of the corpus");
    var channels = new HashMap<String, ManagedChannel>();
    for (var target : ((Map<String, String>) read(Map.class, args[1])).entrySet()) {
      var builder = Grpc.newChannelBuilder(target.getValue(), InsecureChannelCredentials.create());
      channels.put(target.getKey(), builder.maxInboundMessageSize(whole.receiveLimitBytes).build());
    }
    var passed = 0;
    Map<String, List<Remark>> remarks = Map.of("failed", new ArrayList<>(), "skipped", new ArrayList<>());
    var cases = new ArrayList<Case>();
    for (var file : whole.files) cases.addAll(read(Cases.class, args[0], file).cases);
    for (var one : cases) {
      if (args.length > 2 && !one.name.contains(args[2])) continue;
      var targets = one.steps.stream().map(step -> step.get("target")).filter(Objects::nonNull);
      var missing = targets.filter(target -> !channels.containsKey(target)).findFirst();
      var reason = missing.isEmpty() ? new Runner(channels).runCase(one.steps) : "there is no target " + missing.get();
      var word = missing.isPresent() ? "skip " : reason.isEmpty() ? "ok " : "FAIL ";
      System.out.println(word + one.name + " " + reason);
      if (reason.isEmpty()) passed++;
      else remarks.get(missing.isEmpty() ? "failed" : "skipped").add(new Remark(one.name, reason));
    }
    System.out.println("{\"passed\": " + passed + Stubs.GSON.toJson(remarks).replaceFirst("\\{", ", "));
    channels.values().forEach(ManagedChannel::shutdownNow);
    System.exit(remarks.get("failed").isEmpty() ? 0 : 1);
  }
}
