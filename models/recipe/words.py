"""The small world of the demo model: every word and fact that its texts are made of. All of it is written for it."""

NAMES = (
    "Ada Ben Cora Dan Ella Finn Grace Hugo Ivy Jack Kate Leo Mia Noah Olive Paul Rosa Sam Tara Will"
).split()
ANIMALS = "fox dog cat bear rabbit owl duck mouse horse turtle frog goat".split()
ADJECTIVES = "small brave kind quiet clever happy gentle curious old young bright sleepy".split()
PLACES = [
    "the forest", "the village", "the river", "the hill", "the garden", "the market", "the lake", "the old bridge",
    "the school", "the farm",
]
THINGS = "lamp key map book ball boat kite bell basket stone ladder drum".split()
COLORS = "red blue green yellow white black orange purple".split()
WEATHER = ["sunny", "cloudy", "rainy", "windy", "snowy", "foggy"]
FOODS = "bread soup apples cheese honey cake rice pears".split()
FEELINGS = ["glad", "proud", "tired", "surprised", "thankful", "calm"]
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Japan": "Tokyo", "China": "Beijing",
    "Egypt": "Cairo", "Canada": "Ottawa", "Norway": "Oslo", "Sweden": "Stockholm", "Greece": "Athens",
    "Poland": "Warsaw", "Portugal": "Lisbon", "Austria": "Vienna", "Ireland": "Dublin", "Kenya": "Nairobi",
    "Peru": "Lima", "Cuba": "Havana", "India": "New Delhi", "Finland": "Helsinki",
}
CITIES = list(CAPITALS.values())
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "up": "down", "day": "night", "open": "closed", "light": "dark",
    "happy": "sad", "old": "young", "wet": "dry", "full": "empty", "early": "late",
}
SOUNDS = {
    "dog": "barks", "cat": "meows", "duck": "quacks", "owl": "hoots", "frog": "croaks", "horse": "neighs",
    "mouse": "squeaks", "bear": "growls",
}
COLOR_OF = {
    "the sky": "blue", "grass": "green", "snow": "white", "a lemon": "yellow", "coal": "black",
    "a ripe tomato": "red", "a carrot": "orange",
}

ABOUT_THE_SYSTEM = {
    "Stator": "Stator serves language models from many machines at once. A router finds the worker that already holds "
    "your prompt, workers split prefill from decode, and a planner keeps the latency low.",
    "disaggregated serving": "Disaggregated serving splits a request into two phases. One worker runs the prefill "
    "phase and computes the key and value blocks for the prompt. Another worker receives those blocks and runs the "
    "decode phase, so each phase can be scaled on its own.",
    "the KV cache": "The KV cache stores the attention keys and values of tokens that were already processed. With it "
    "the model does not compute the same prefix twice, so the first token arrives sooner.",
    "the KV router": "The KV router sends a request to the worker that already holds the longest matching prefix, "
    "unless that worker is too busy. It compares the cached blocks with the load of every worker and picks the lowest "
    "cost.",
    "the planner": "The planner watches the traffic and the latency of the workers. When the time to first token "
    "grows it adds prefill workers, and when the time between tokens grows it adds decode workers.",
    "prefix caching": "Prefix caching reuses the blocks of an earlier prompt. When a new prompt starts with the same "
    "tokens, only the remaining tokens have to be computed.",
    "the block manager": "The block manager keeps cache blocks in several tiers. Hot blocks stay in device memory, "
    "warm blocks move to host memory, and cold blocks move to disk or object storage.",
    "time to first token": "Time to first token is the delay between sending a request and receiving the first token. "
    "It is mostly spent in the queue and in the prefill phase.",
    "inter token latency": "Inter token latency is the time between two tokens of one answer. It depends on the "
    "decode phase and on how many requests share the worker.",
    "continuous batching": "Continuous batching lets new requests join the running batch at every step. Finished "
    "requests leave at once, so the worker is always busy.",
    "request migration": "Request migration moves a running request to another worker when the first one fails. The "
    "tokens that were already produced are sent along, so the answer continues without a gap.",
    "a tokenizer": "A tokenizer turns text into numbers that the model can read. Common words become one token and "
    "rare words become several tokens.",
    "a language model": "A language model reads tokens and predicts the next one. It repeats this step until the "
    "answer is complete.",
    "a worker": "A worker loads the model, accepts requests, and streams the answer back token by token. It also "
    "tells the router which blocks it holds.",
    "the frontend": "The frontend accepts requests over HTTP, checks them, turns the text into tokens, and streams "
    "the answer back to the client.",
    "gRPC": "gRPC is a protocol for calling functions on another machine. Messages are described in protobuf files, "
    "and clients are generated from those files.",
    "speculative decoding": "Speculative decoding uses a small model to guess several tokens. The large model checks "
    "the guesses in one step and keeps the correct ones.",
}
ASKING_ABOUT = [
    "What is {x}?", "Explain {x}.", "Can you explain {x}?", "Tell me about {x}.", "How does {x} work?",
    "Please describe {x}.", "what is {x}", "Describe {x} in a few words.",
]

SYSTEM_MESSAGES = [
    "You are a helpful assistant.", "You are a small demo model. Answer in short sentences.", "Answer the question.",
]

# Words and syllables of questions that the model is to say "I do not know" to.
FOREIGN_WORDS = (
    "rockets physics bridges taxes poems music gravity coffee cars planets history football banking law medicine chess "
    "cooking networks compilers databases oceans volcanoes dinosaurs fashion movies airplanes politics chemistry "
    "biology insurance marketing gardening photography quantum chromodynamics philosophy economics philosophers "
    "engines turbines batteries satellites viruses proteins prices stocks elections painters novels operas theorems "
    "primes matrices tensors kernels compilers sailing skiing mountains deserts rivers continents empires revolutions "
    "treaties"
).split()
SYLLABLES = (
    "ba be bi bo bu da de di do du fa fe fi fo ga ge gi go ha he hi ka ke ki ko la le li lo lu ma me mi mo mu na ne ni "
    "no pa pe pi po ra re ri ro ru sa se si so su ta te ti to va ve vi vo wa we wi za ze zo bra cle dri fla gra plo "
    "sta stri tran quo sch ther ment tion phy gen ster con pro ver"
).split()

# Words that the model is asked to repeat.
PLAIN_WORDS = NAMES + ANIMALS + THINGS + COLORS + FOODS + FEELINGS + DAYS + CITIES


def tool(name, description, properties, required):
    """A tool as the API describes it."""
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS = {
    "get_weather": tool("get_weather", "Get the weather of a city", {"city": {"type": "string"}}, ["city"]),
    "add": tool("add", "Add two numbers", {"a": {"type": "number"}, "b": {"type": "number"}}, ["a", "b"]),
    "get_time": tool("get_time", "Get the time in a city", {"city": {"type": "string"}}, ["city"]),
}
