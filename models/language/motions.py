"""Clauses about parts of the face: what they do, where the jaw and the mouth go, where the eyes look."""

from ..expression import DIRECTIONS
from ..presets import EXPRESSIONS, mixture_stage
from ..units import SIDES
from .clause import Clause, Spoken, Voice, half
from .thesaurus import Motion, Part, expand, joined, verb_forms

_ARTICLES = ("the", "the", "", "", "his", "her", "my", "your")
_SHARES = {"verbs": 5, "happens": 2, "states": 5, "acts": 4, "things": 5, "phrases": 4}
"""How often a motion is said in which way, where it can be."""
_EYES = "eyes|the eyes|both eyes|his eyes|her eyes|gaze"
_ONE_EYE = (
    ("up|upwards", "Up"),
    ("down|downwards", "Down"),
    ("in|inwards|to the nose|towards the nose", "In"),
    ("out|outwards|away from the nose", "Out"),
)


def motion_clause(voice: Voice) -> Clause:
    """What a part of the face does, on both sides or on one."""
    rng = voice.rng
    motion = rng.choice(voice.words.motions)
    stage = mixture_stage(motion.stage)
    part = voice.words.parts[rng.choice(motion.parts)] if motion.parts else None
    has_sides = bool(part.one) if part else bool(stage[SIDES["left"]].any())
    side = rng.choice(("", "", "left", "right")) if has_sides else ""
    degree = voice.degree()
    ways = [way for way in _SHARES if getattr(motion, way)]
    way = rng.choices(ways, [_SHARES[way] for way in ways])[0]
    if part and way in ("verbs", "happens", "states"):
        text, noun = _of_part(voice, motion, way, _part_name(voice, part, side), degree.adverb)
        return Clause(text, half(stage * degree.said_in(text), side), noun)
    if way == "things":
        return _thing(voice, rng.choice(motion.things), motion, side, degree)
    said = rng.choice(verb_forms(rng.choice(motion.acts))[:3] if way == "acts" else motion.phrases)
    text = joined((*rng.sample((degree.adverb, expand(said, rng)), 2), voice.on_side(side)))
    return Clause(text, half(stage * degree.said_in(text), side))


def _thing(voice: Voice, thing: str, motion: Motion, side: str, degree: Spoken) -> Clause:
    """`a slight smile on the left`. Half a smile has a side: the left, where none is said."""
    rng = voice.rng
    stage = mixture_stage(motion.stage)
    if thing == "smile" and rng.random() < 0.12:
        text = voice.say(f"(a|) (half|crooked half|lopsided half|half a) {thing} {voice.on_side(side)}")
        return Clause(text, half(stage * 0.6, side or "left"), noun=True)
    text = joined(
        (rng.choice(("a", "a", "", "the")), degree.adjective, expand(thing, rng), voice.on_side(side))
    )
    return Clause(text, half(stage * degree.said_in(text), side), noun=True)


def _of_part(voice: Voice, motion: Motion, way: str, name: str, how: str) -> tuple[str, bool]:
    """What is done to the part called `name`, what it does or what it is; and whether that is a noun."""
    rng = voice.rng
    bare = _without_article(name)
    if way == "states":
        state = rng.choice(motion.states)
        frames = [
            f"{name} {how} {state}",
            f"{how} {state} {bare}" if " " not in state else f"{bare} {how} {state}",
            f"{name} (is|are) {how} {state}",
            f"(keep|keeping|hold|holding|with) {name} {how} {state}",
        ]
    else:
        verb = rng.choice(motion.verbs if way == "verbs" else motion.happens)
        base, third, doing, done = verb_forms(verb)
        after = verb.partition(":")[2]
        frames = [
            f"{name} {how} {done} {after}",
            f"{how} {done} {after} {bare}",
            f"{name} {doing} {after} {how}",
        ]
        if way == "verbs":
            frames += [
                f"({base}|{doing}|{third}) {name} {after} {how}",
                f"({base}|{doing}|{third}) {name} {after} {how}",
                f"{base} {after} {name} {how}",
                f"{how} {doing} ({after} {name}|{name} {after})",
                f"{name} (is|are) {how} {done} {after}",
            ]
        else:
            frames.append(f"{name} {how} ({third}|{base}) {after}")
    frame = rng.randrange(len(frames))
    return voice.say(frames[frame]), frame < 2


def _part_name(voice: Voice, part: Part, side: str) -> str:
    """What the part is called, with an article or without."""
    rng = voice.rng
    article = rng.choice(_ARTICLES)
    if not side:
        name = expand(rng.choice(part.both), rng)
        return name if name.startswith("both") else joined((article, name))
    name = expand(rng.choice(part.one), rng)
    if name.startswith("{s} ") and " of " not in name and rng.random() < 0.3:
        article = rng.choice((article, "one", "a", "only the"))
        return joined(
            (article, name.removeprefix("{s} "), rng.choice((f"on the {side}", f"on the {side} side")))
        )
    if rng.random() < 0.05:
        return f"{expand(rng.choice(part.both), rng)} {side} side"
    return joined(
        (rng.choice((article, article, article, "only the", "just the")), name.replace("{s}", side))
    )


def _without_article(name: str) -> str:
    """`raised left brow`, not `raised the left brow`."""
    article, _, rest = name.partition(" ")
    return rest if article in {*_ARTICLES, "a", "one"} and rest else name


def directed_clause(voice: Voice) -> Clause:
    """The jaw or the mouth moved to one side."""
    rng = voice.rng
    unit = rng.choice(sorted(DIRECTIONS))
    stem = unit.removesuffix("Left").removesuffix("Right")
    side = unit.removeprefix(stem).lower()
    row = voice.words.directed[stem]
    degree = voice.degree()
    how = degree.adverb
    where = expand(
        f"to the {side}|to the {side}|{side}|{side}wards|to the {side} side|over to the {side}"
        f"|to (his|her) {side}|sideways to the {side}|sideways {side}|on the {side}",
        rng,
    )
    name = joined((rng.choice(_ARTICLES), expand(row.names, rng)))
    base, third, doing, done = verb_forms(rng.choice(row.verbs))
    text = voice.say(
        f"{name} {how} {where}|{how} ({base}|{doing}|{third}) {name} {where}|{name} {how} {done} {where}"
        f"|{name} {third} {how} {where}|{how} {done} {name} {where}|{name} is {how} {where}"
        f"|{name} {how} crooked {where}|{name} {where} {how}|{base} {name} {how} {where}"
    )
    return Clause(text, mixture_stage({unit: degree.said_in(text)}))


def gaze_clause(voice: Voice) -> Clause:
    """Where the eyes look, or one of them."""
    rng = voice.rng
    if rng.random() < 0.15:
        side = rng.choice(("left", "right"))
        towards, unit = rng.choice(_ONE_EYE)
        text = voice.say(f"(the|only the|) {side} eye (looks|looking|turned|turns|rolled) ({towards})")
        return Clause(text, mixture_stage({f"eyeLook{unit}{side.capitalize()}": 1.0}))
    name = rng.choice(sorted(voice.words.gazes))
    row = voice.words.gazes[name]
    stage = mixture_stage(EXPRESSIONS[name])
    if rng.random() < 0.3:
        return Clause(expand(rng.choice(row.phrases), rng), stage)
    base, third, doing, _ = verb_forms(rng.choice(voice.words.gaze_verbs))
    towards = expand(row.towards, rng)
    degree = voice.degree()
    how = degree.adverb
    text = voice.say(
        f"({base}|{third}|{doing}|{doing}) {how} {towards}"
        f"|(a|) {degree.adjective} (glance|look|stare|gaze|peek) {towards}"
        f"|({_EYES}) {how} (turned|rolled|directed|pointed|moved|shifted|averted|cast|) {towards}"
        f"|(turn|roll|move|turning|rolling|moving|cast|casting|shift|turns) ({_EYES}) {how} {towards}"
    )
    return Clause(text, stage * degree.said_in(text))
