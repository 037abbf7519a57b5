"""Writes the training text of the demo model: stories, facts, answers about this system, tool calls, JSON, reading,
and "I do not know". Every document is made from the words in words.py, so no foreign text is in it. The same seed and
count give the same bytes: every random draw is made in a fixed order, and what is drawn is never skipped.
"""

import argparse
import json
import random

from words import (
    ABOUT_THE_SYSTEM, ADJECTIVES, ANIMALS, ASKING_ABOUT, CAPITALS, CITIES, COLOR_OF, COLORS, DAYS, FEELINGS, FOODS,
    FOREIGN_WORDS, NAMES, OPPOSITES, PLACES, PLAIN_WORDS, SOUNDS, SYLLABLES, SYSTEM_MESSAGES, THINGS, TOOLS, WEATHER,
)

END_OF_DOCUMENT = "<|endoftext|>"


def with_article(word):
    return ("an " if word[0] in "aeiou" else "a ") + word


def message(role, content):
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


class Writer:
    """Makes documents from one stream of random numbers."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pick = self.random.choice

    def chance(self, ratio):
        return self.random.random() < ratio

    def chat(self, pairs, system=None):
        """A conversation of questions and answers, in many cases under a system message."""
        if system is None and self.chance(0.4):
            system = self.pick(SYSTEM_MESSAGES)
        text = message("system", system) if system else ""
        return text + "".join(message("user", ask) + message("assistant", answer) for ask, answer in pairs)

    # Stories

    def story(self, hero=None, animal=None):
        """Someone finds a thing and gives it back: eight sentences with a few forms each."""
        pick = self.pick
        n = hero or pick(NAMES)
        animal = animal or pick(ANIMALS)
        kind = pick(ADJECTIVES)
        place = pick(PLACES)
        thing = pick(THINGS)
        color = pick(COLORS)
        friend = pick([name for name in NAMES if name != n])
        food = pick(FOODS)
        weather = pick(WEATHER)
        sentences = [
            pick([
                f"Once upon a time there was {with_article(kind)} {animal} named {n}.",
                f"There once lived {with_article(kind)} {animal} called {n}.",
                f"In a land far away, {with_article(kind)} {animal} named {n} lived near {place}.",
            ]),
            pick([
                f"Every morning {n} walked to {place} to look for {food}.",
                f"{n} loved to visit {place} when the day was {weather}.",
                f"One {weather} day {n} went to {place}.",
            ]),
            pick([
                f"There {n} found a {color} {thing} under a tree.",
                f"On the way {n} saw a {color} {thing} on the ground.",
                f"Near {place} there was a {color} {thing}, and nobody knew whose it was.",
            ]),
            pick([
                f'"Whose {thing} is this?" asked {n}.',
                f'"What a lovely {thing}!" said {n}.',
                f"{n} picked up the {thing} and thought for a while.",
            ]),
            pick([
                f"Then {friend} came by and looked very sad.",
                f"Soon {friend} came running down the path.",
                f"A friend named {friend} was looking for something.",
            ]),
            pick([
                f'"I lost my {thing}," said {friend}. "Have you seen it?"',
                f'"That is my {thing}," said {friend}. "I have looked for it all day."',
            ]),
            pick([f"{n} gave the {thing} back with a smile.", f'"Here it is," said {n}, and gave it back.']),
        ]
        feeling = pick(FEELINGS)
        sentences.append(pick([
            f"{friend} was so {feeling} that they shared some {food} together.",
            f"They sat down by {place} and ate {food}.",
            f"From that day on {n} and {friend} were good friends.",
        ]))
        sentences.append(pick([
            "And they all went home before dark.",
            "The moon came up and the day was over.",
            "It was a good day for everyone.",
            f"That night {n} slept very well.",
        ]))
        return " ".join(sentences)

    def story_request(self):
        """A question for a story, and the story."""
        pick = self.pick
        form = self.random.randrange(4)
        if form == 0:
            animal = pick(ANIMALS)
            ask = pick([
                f"Tell me a story about a {animal}.", f"Write a short story about a {animal}.",
                f"Can you tell me a story about a {animal}?",
            ])
            return ask, self.story(None, animal)
        if form == 1:
            name = pick(NAMES)
            return pick([f"Tell me a story about {name}.", f"Write a story about {name}."]), self.story(name)
        if form == 2:
            name, animal = pick(NAMES), pick(ANIMALS)
            return f"Tell me a story about a {animal} named {name}.", self.story(name, animal)
        ask = pick(["Tell me a story.", "Tell me a short story.", "Write a story.", "I would like to hear a story."])
        return ask, self.story()

    # Short answers

    def question(self):
        """A question with a short answer, of one of thirteen kinds."""
        kinds = [
            self.about_the_system, self.capital, self.plus, self.minus, self.opposite, self.sound, self.color,
            self.next_day, self.greeting, self.who, self.thanks, self.counting, self.three_colors,
        ]
        return kinds[self.random.randrange(13)]()

    def about_the_system(self):
        topic = self.pick(list(ABOUT_THE_SYSTEM))
        return self.pick(ASKING_ABOUT).format(x=topic), ABOUT_THE_SYSTEM[topic]

    def capital(self):
        country = self.pick(list(CAPITALS))
        ask = self.pick([
            f"What is the capital of {country}?", f"Capital of {country}?", f"Which city is the capital of {country}?",
        ])
        return ask, f"The capital of {country} is {CAPITALS[country]}."

    def plus(self):
        a, b = self.random.randrange(21), self.random.randrange(21)
        ask = self.pick([f"What is {a} plus {b}?", f"What is {a} + {b}?", f"Add {a} and {b}."])
        return ask, f"{a} plus {b} is {a + b}."

    def minus(self):
        a = self.random.randrange(21)
        b = self.random.randrange(a + 1)
        return self.pick([f"What is {a} minus {b}?", f"What is {a} - {b}?"]), f"{a} minus {b} is {a - b}."

    def opposite(self):
        word = self.pick(list(OPPOSITES))
        ask = self.pick([f"What is the opposite of {word}?", f"Give me the opposite of {word}."])
        return ask, f"The opposite of {word} is {OPPOSITES[word]}."

    def sound(self):
        animal = self.pick(list(SOUNDS))
        ask = self.pick([f"What sound does a {animal} make?", f"How does a {animal} sound?"])
        return ask, f"A {animal} {SOUNDS[animal]}."

    def color(self):
        thing = self.pick(list(COLOR_OF))
        ask = self.pick([f"What color is {thing}?", f"Which color is {thing}?"])
        return ask, f"{thing[0].upper() + thing[1:]} is {COLOR_OF[thing]}."

    def next_day(self):
        at = self.random.randrange(7)
        ask = self.pick([f"Which day comes after {DAYS[at]}?", f"What day follows {DAYS[at]}?"])
        return ask, f"{DAYS[(at + 1) % 7]} comes after {DAYS[at]}."

    def greeting(self):
        ask = self.pick([
            "Hello!", "Hi", "Hello", "Good morning!", "Hey there", "hi there", "hello, how are you?", "How are you?",
        ])
        return ask, self.pick([
            "Hello! How can I help you today?",
            "Hi! I am a small demo model. What would you like to know?",
            "Hello! I am ready to help. Ask me a question.",
        ])

    def who(self):
        ask = self.pick(["Who are you?", "What are you?", "What is your name?", "What can you do?"])
        return ask, self.pick([
            "I am the small demo model of Stator and I run inside the embedded engine. I can tell short stories, "
            "answer simple questions, and call tools.",
            "I am a tiny language model with a few million parameters. I can tell stories and explain how the "
            "platform works.",
        ])

    def thanks(self):
        ask = self.pick(["Thank you!", "Thanks", "thanks a lot", "Thank you very much"])
        return ask, self.pick(["You are welcome!", "You are welcome. Have a nice day!", "My pleasure."])

    def counting(self):
        count = self.random.randrange(3, 9)
        first = self.random.randrange(1, 6)
        ask = self.pick([f"Count from {first} to {first + count}.", f"Please count from {first} to {first + count}."])
        return ask, ", ".join(str(number) for number in range(first, first + count + 1)) + "."

    def three_colors(self):
        ask = self.pick(["List three colors.", "Name three colors."])
        return ask, ", ".join(self.random.sample(COLORS, 3)) + "."

    # What the model cannot answer, and what it only has to repeat

    def foreign_word(self):
        if self.chance(0.5):
            return self.pick(FOREIGN_WORDS)
        return "".join(self.pick(SYLLABLES) for _ in range(self.random.randint(2, 4)))

    def foreign_words(self, count):
        return " ".join(self.foreign_word() for _ in range(count))

    def unknown(self):
        """A question from outside of the small world, and the answer that the model does not know."""
        x = self.foreign_words(self.random.randint(1, 3))
        ramble = self.foreign_words(self.random.randint(3, 9)) + "."
        ask = self.pick([
            f"What is {x}?", f"Tell me about {x}.", f"Explain {x}.", f"Who is {x}?", f"How do I {x}?", f"Why {x}?",
            f"Can you {x}?", f"Write a poem about {x}.", f"{x}?", ramble,
        ])
        if "." in ask and len(x) >= 40:
            return ask, "I am only a small demo model and I do not know much about that."
        return ask, self.pick([
            "I am only a small demo model and I do not know much about that. Try asking me for a story or about the "
            "platform.",
            "I am sorry, I do not know that. I can tell you a story or explain how the platform works.",
        ])

    def echo(self):
        words = " ".join(self.pick(PLAIN_WORDS) for _ in range(self.random.randint(1, 6)))
        return self.pick([f"Repeat after me: {words}", f"Say this: {words}", f"Please repeat: {words}"]), words

    # Documents of other forms

    def tool_chat(self):
        """A question that a tool answers, the call, and mostly its result and an answer from it."""
        names = self.random.sample(list(TOOLS), self.random.randint(1, 3))
        before = self.pick(SYSTEM_MESSAGES) + "\n" if self.chance(0.3) else ""
        listed = "\n".join(json.dumps(TOOLS[name]) for name in names)
        text = message("system", before + "You can call tools.\n<tools>\n" + listed + "\n</tools>")
        name = self.pick(names)
        ask, arguments, result, answer = {
            "get_weather": self.weather_call, "add": self.add_call, "get_time": self.time_call,
        }[name]()
        call = json.dumps({"name": name, "arguments": arguments})
        text += message("user", ask) + message("assistant", "<tool_call>\n" + call + "\n</tool_call>")
        if self.chance(0.6):
            text += message("tool", json.dumps(result)) + message("assistant", answer)
        if self.chance(0.15):
            ask, answer = self.question()
            text += message("user", ask) + message("assistant", answer)
        return text

    def weather_call(self):
        city = self.pick(CITIES)
        ask = self.pick([
            f"What is the weather in {city}?", f"How is the weather in {city} today?", f"Is it raining in {city}?",
            f"weather in {city}",
        ])
        weather = self.pick(WEATHER)
        degrees = self.random.randrange(-5, 36)
        result = {"city": city, "temperature": degrees, "condition": weather}
        return ask, {"city": city}, result, f"It is {weather} in {city} and the temperature is {degrees} degrees."

    def add_call(self):
        a, b = self.random.randrange(100), self.random.randrange(100)
        ask = self.pick([f"What is {a} plus {b}?", f"Add {a} and {b}.", f"Please compute {a} + {b}."])
        return ask, {"a": a, "b": b}, {"result": a + b}, f"The result is {a + b}."

    def time_call(self):
        city = self.pick(CITIES)
        time = f"{self.random.randrange(24):02d}:{self.random.randrange(60):02d}"
        ask = self.pick([f"What time is it in {city}?", f"Tell me the time in {city}."])
        return ask, {"city": city}, {"time": time}, f"It is {time} in {city}."

    def think_chat(self):
        """An answer with a thought before it."""
        a, b = self.random.randrange(21), self.random.randrange(21)
        ask, answer = self.question()
        if self.chance(0.5):
            ask = f"What is {a} plus {b}?"
            thought = f"The user wants the sum of {a} and {b}. {a} plus {b} is {a + b}."
            answer = f"{a} plus {b} is {a + b}."
        else:
            thought = "The user asks a simple question. I will answer it in a short way."
        answer = f"<think>\n{thought}\n</think>\n\n{answer}"
        return message("system", "Think before you answer.") + message("user", ask) + message("assistant", answer)

    def json_chat(self):
        name = self.pick(NAMES)
        age = self.random.randrange(5, 80)
        city = self.pick(CITIES)
        answer = json.dumps({"name": name, "age": age, "city": city})
        return self.chat([(f"Give me a person named {name} as JSON.", answer)], "Answer only with JSON.")

    def reading(self):
        """A text about one to three animals, and questions about it."""
        pick = self.pick
        names = self.random.sample(NAMES, 3)
        text, facts = [], []
        for name in names[: self.random.randint(1, 3)]:
            animal, thing, color = pick(ANIMALS), pick(THINGS), pick(COLORS)
            place, food, weather = pick(PLACES), pick(FOODS), pick(WEATHER)
            text.append(pick([
                f"{name} the {animal} lived near {place}. One {weather} day {name} found a {color} {thing} and later "
                f"ate some {food}.",
                f"One {weather} day {name} the {animal} went to {place}. {name} found a {color} {thing} there. In the "
                f"evening {name} ate some {food}.",
            ]))
            facts += [
                (f"What did {name} find?", f"{name} found a {color} {thing}."),
                (f"What did {name} eat?", f"{name} ate some {food}."),
                (f"What animal is {name}?", f"{name} is a {animal}."),
                (f"What color was the {thing} that {name} found?", f"It was {color}."),
                (f"How was the weather when {name} found the {thing}?", f"It was {weather}."),
            ]
        asked = self.random.sample(facts, min(len(facts), self.random.randint(1, 3)))
        pairs = [(" ".join(text) + "\n\n" + asked[0][0], asked[0][1])] + asked[1:]
        return self.chat(pairs, pick([None, "Answer the question with the help of the text."]))

    def several(self, make, most):
        return [make() for _ in range(self.random.randint(1, most))]

    def document(self):
        """One document of any kind; the ratios are those of the training text."""
        kind = self.random.random()
        if kind < 0.11:
            return self.chat(self.several(self.unknown, 2))
        if kind < 0.15:
            return self.chat(self.several(self.echo, 3))
        if kind < 0.33:
            return self.reading()
        kind = self.random.random()
        if kind < 0.30:
            return self.story() + "\n"
        if kind < 0.52:
            return self.chat([self.story_request()])
        if kind < 0.80:
            return self.chat(self.several(lambda: self.question() if self.chance(0.85) else self.story_request(), 4))
        if kind < 0.92:
            return self.tool_chat()
        if kind < 0.96:
            return self.think_chat()
        return self.json_chat()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--documents", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--out", default="corpus.txt")
    options = parser.parse_args()
    writer = Writer(options.seed)
    characters = 0
    with open(options.out, "w", encoding="utf-8") as file:
        for _ in range(options.documents):
            document = writer.document()
            file.write(document + END_OF_DOCUMENT)
            characters += len(document)
    print(f"{options.documents} documents, {characters} characters")


if __name__ == "__main__":
    main()
