"""Sentences of our own: a small grammar with an everyday vocabulary.

Whether a sentence belongs to the training or the held-out part is a function
of its text alone, so the two parts can never share one, whatever the seed.
"""

import hashlib

HELD_OUT_SHARE = 0.2

_PEOPLE = (
  "my brother|our teacher|a young farmer|the old captain|your mother|"
  "the tall baker|a famous painter|the mayor|his best friend|my neighbour|"
  "the bus driver|a quiet boy|the woman upstairs|every father|our doctor|"
  "the music student|a proud uncle|her grandfather|the new pilot|nobody"
)
_PLURALS = (
  "the children|two small dogs|my parents|most people|the workers|"
  "all five monkeys|our visitors|the blue birds|many families|both teams|"
  "the wolves|your cousins|the boys in the park|some brave women|we|they"
)
_THINGS = (
  "the apple pie|a warm blanket|the yellow umbrella|a pair of boots|"
  "the broken window|my favourite book|a bowl of soup|the blue balloon|"
  "an old map|a wooden boat|the empty bottle|a piece of paper|the moon|"
  "a loaf of bread|the purple flowers|an orange bicycle|the village church|"
  "a map of the mountains|the big piano|a mouse|the football|some hot tea|"
  "the bottom of the box|a very small problem|the number fourteen|"
  "a beautiful photo|the open door|my phone"
)
_PAST = (
  "found|wanted|bought|forgot|painted|carried|watched|moved|borrowed|"
  "dropped|opened|remembered|photographed|wrapped up|pushed|saw|put away|"
  "loved|brought back|picked up|looked for|threw out|followed|covered"
)
_PRESENT = (
  "move|jump over|paint|follow|open|want|walk around|love|talk about|"
  "look after|bring|wash|save|remember|pay for|watch|push|hope for|map out"
)
_PLACES = (
  "near the river|in the garden|on top of the hill|at home|by the sea|"
  "outside the shop|under the bridge|in a far away town|behind our house|"
  "before the summer|on Monday morning|after a while|during the storm|"
  "at half past four|every afternoon|last February|without any trouble|"
  "in the middle of the room|all through the autumn|for a whole hour"
)
_MANNER = (
  "slowly|very happily|almost by mistake|with both hands|all of a sudden|"
  "now and then|with a smile|as usual|again and again|for no reason|"
  "more or less|perfectly well|out loud|just in time"
)
_OPENERS = (
  "well|of course|by the way|oh wow|maybe|believe me|you know|honestly|"
  "in the morning|once upon a time|hello everybody|after all|look|"
  "good evening|above all|from my point of view"
)
_QUALITIES = (
  "warm|bright|far too heavy|wonderful|awful|empty|made of wood|very small|"
  "better than before|almost full|blue and purple|open|above our heads|"
  "impossible to move|hot|cold and foggy|important|beautiful|round|smooth"
)
_NUMBERS = (
  "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|"
  "forty|fifty five|a hundred"
)
_WORDS = {
  "person": _PEOPLE,
  "plural": _PLURALS,
  "thing": _THINGS,
  "past": _PAST,
  "present": _PRESENT,
  "place": _PLACES,
  "manner": _MANNER,
  "opener": _OPENERS,
  "quality": _QUALITIES,
  "number": _NUMBERS,
}
_WORDS = {name: tuple(words.split("|")) for name, words in _WORDS.items()}
_PATTERNS = tuple(
  pattern.split()
  for pattern in (
    "person past thing place .",
    "place , plural present thing .",
    "opener , person past thing , and then thing manner .",
    "plural present thing manner , but person past thing .",
    "why do plural present thing place ?",
    "thing was quality , and thing was quality .",
    "opener , I have number reasons to present thing .",
    "when person past thing , plural were quality .",
    "did person say that thing was quality ?",
    "manner , person past thing , thing , and thing .",
    "opener , how about number o'clock place ?",
    "please present thing before plural present thing .",
  )
)


def is_held_out(sentence):
  """Whether the text `sentence` belongs to the held-out part."""
  digest = hashlib.sha256(sentence.encode()).digest()
  return digest[0] < 256 * HELD_OUT_SHARE


def make_sentence(rng, held_out):
  """Draws one sentence of the asked part with the numpy generator `rng`."""
  while True:
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    words = [
      str(rng.choice(_WORDS[word])) if word in _WORDS else word
      for word in pattern
    ]
    text = " ".join(words)
    for mark in ",.?":
      text = text.replace(f" {mark}", mark)
    text = text[0].upper() + text[1:]
    if is_held_out(text) == held_out:
      return text
