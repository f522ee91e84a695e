from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import BlockError, BlockInputInvalid, BlockLimitExceeded
from app.templating.budget import MAX_TEXT_CHARACTERS
from app.templating.templates import render

CANARY = "canary-7f3a"
VALUES: dict[str, Any] = {
    "name": "Ada",
    "n": 3,
    "pi": 3.14159,
    "yes": True,
    "none": None,
    "list": ["a", "b", "c"],
    "numbers": list(range(1_000)),
    "rows": [{"k": "x", "v": 1}, {"k": "y", "v": 2}],
    "dict": {"a": 1, "pop": "a key", "b c": 2},
    "html": "<b>",
    "big": "x" * 900_000,
    "lines": "\n" * 400_000,
    "secret": CANARY,
}

RENDERINGS = [
    ("plain", "plain"),
    ("", ""),
    ("one line\n", "one line"),
    ("two\r\nlines", "two\nlines"),
    ("Hi {{ name }}!", "Hi Ada!"),
    ("Hi {{name}}\n", "Hi Ada"),
    ("{{ missing }}|{{ none }}|{{ yes }}", "|None|True"),
    ("{{ dict.a }}{{ dict['b c'] }}{{ dict.pop }}{{ dict.get('zzz', 5) }}", "12a key5"),
    ("{{ list[0] }}{{ list[-1] }}{{ list[5] }}{{ list[1:] }}", "ac['b', 'c']"),
    ("{% for x in list %}{{ loop.index }}{{ x }}{% if not loop.last %},{% endif %}{% endfor %}", "1a,2b,3c"),
    ("{% for x in list %}{{ loop.length }}{{ loop.cycle('o', 'e') }}{% endfor %}", "3o3e3o"),
    ("{% for k, v in dict.items() %}{{ k }}={{ v }};{% endfor %}", "a=1;pop=a key;b c=2;"),
    ("{% for x in list if x != 'b' %}{{ x }}{% else %}none{% endfor %}", "ac"),
    ("{% for x in missing %}{{ x }}{% else %}none{% endfor %}", "none"),
    ("{% for r in rows recursive %}{{ r.k }}{% endfor %}", "xy"),
    (
        "{% set ns = namespace(t=0) %}{% for x in numbers %}{% set ns.t = ns.t + x %}{% endfor %}{{ ns.t }}",
        "499500",
    ),
    ("{% macro m(x) %}<{{ x }}>{% endmacro %}{{ m(1) }}{{ m('a') }}", "<1><a>"),
    ("{% set a %}{{ name }}!{% endset %}{{ a }}{{ a|length }}", "Ada!4"),
    (
        "{{ 'a' ~ 1 ~ none }}{{ 'a' + 'b' }}{{ 'ab' * 2 }}{{ 2 ** 10 }}{{ 7 % 4 }}{{ 7 // 2 }}",
        "a1Noneababab102433",
    ),
    ("{{ '%s is %d' % (name, n) }}{{ '%.2f' % pi }}", "Ada is 33.14"),
    ("{{ '{:>5}|{:.1f}'.format(name, pi) }}", "  Ada|3.1"),
    ("{{ '{a}'.format_map({'a': 1}) }}", "1"),
    ("{{ name.upper() }}{{ name|lower }}{{ ' x '|trim }}{{ name.center(7) }}|", "ADAadax  Ada  |"),
    ("{{ ', '.join(list) }}{{ list|join('-') }}{{ rows|join('+', attribute='k') }}", "a, b, ca-b-cx+y"),
    ("{{ name.replace('A', 'aa') }}{{ name|replace('a', 'o') }}", "aadaAdo"),
    (
        "{{ pi|format('%.2f') }}{{ '2.5'|format('%05.1f €') }}{{ n|format }}{{ n|format('%d%%') }}",
        "3.14002.5 €33%",
    ),
    ("{{ pi|round(2) }}{{ list|first }}{{ list|last }}{{ list|length }}{{ numbers|sum }}", "3.14ac3499500"),
    ("{{ list|map('upper')|list }}{{ rows|map(attribute='v')|sum }}", "['A', 'B', 'C']3"),
    ("{{ rows|selectattr('v', 'gt', 1)|map(attribute='k')|join }}", "y"),
    (
        "{{ list|batch(2)|list }}{{ list|sort(reverse=true)|join }}{{ [1, 1, 2]|unique|list }}",
        "[['a', 'b'], ['c']]cba[1, 2]",
    ),
    ("{{ missing|default('d') }}{{ missing is defined }}{{ 3 in [1, 3] }}", "dFalseTrue"),
    ("{{ range(5)|list }}{{ range(3)|join }}", "[0, 1, 2, 3, 4]012"),
    ("{{ html }}{{ html|e }}", "<b>&lt;b&gt;"),
    ("{# a comment #}{% raw %}{{ name }}{% endraw %}", "{{ name }}"),
    (
        "{{ 'a\nb'|indent(2) }}|{{ 'the end of everything'|truncate(8) }}|{{ 'a b c'|wordcount }}",
        "a\n  b|the...|3",
    ),
]

INJECTIONS = [
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__'] }}",
    "{{ ()['__cl' ~ 'ass__']['__base__'] }}",
    "{{ [].__class__.__base__.__subclasses__()[0] }}",
    "{{ {}.__init__.__globals__ }}",
    "{{ name|attr('__class__') }}",
    "{{ list|map(attribute='__class__')|first|string|first|forceescape and list|map(attribute='__class__')|first }}",
    "{{ list|map(attribute='upper.__self__.__class__')|list }}",
    "{{ list|groupby('__class__') }}",
    "{{ list|sort(attribute='__class__.x') }}",
    "{{ self.__init__.__globals__.__builtins__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__ }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ config.items() }}",
    "{{ request.application.__globals__ }}",
    "{{ url_for.__globals__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ range.__class__ }}",
    "{{ dict.__class__.__base__ }}",
    "{{ dict.mro() }}",
    "{{ '{0.__class__}'.format(1) }}",
    "{{ '{0.__class__.__mro__[1]}'.format('') }}",
    "{{ '{a.__init__.__globals__}'.format_map({'a': cycler}) }}",
    "{{ '{0.__class__}'.format(name)|string }}",
    "{{ ['{0.__class__}']|map('format', 1)|list }}",
    "{{ name.format.__self__.__class__ }}",
    "{{ name.encode('utf-8') }}",
    "{{ name.__getattribute__('upper') }}",
    "{{ name.translate({}) }}",
    "{{ list.append(1) }}",
    "{{ list.clear() }}",
    "{{ list.sort() }}",
    "{{ dict.update({'a': 2}) }}",
    "{{ dict.pop('a') }}",
    "{{ dict.__setitem__('a', 2) }}",
    "{{ n.to_bytes(10) }}",
    "{{ n.real }}",
    "{{ n.__class__ }}",
    "{{ none.__class__ }}",
    "{{ missing.__class__ }}",
    "{{ missing.__init__ }}",
    "{{ missing.a.b }}",
    "{{ missing() }}",
    "{{ name() }}",
    "{{ list() }}",
    "{% for x in list %}{{ loop.__class__ }}{% endfor %}",
    "{% for x in list %}{{ loop._iterable }}{% endfor %}",
    "{% for x in list %}{{ loop }}{% endfor %}",
    "{% macro m() %}{% endmacro %}{{ m.__class__ }}",
    "{% macro m() %}{% endmacro %}{{ m._func.__globals__ }}",
    "{% macro m() %}{% endmacro %}{{ m }}",
    "{{ cycler }}",
    "{{ self }}",
    "{% set ns = namespace() %}{{ ns.__class__ }}",
    "{% set ns = namespace() %}{{ ns._Namespace__attrs }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 1 %}{{ ns }}",
    "{% set ns = namespace() %}{{ ns }}",
    "{{ list|map('upper') }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends 'x' %}",
    "{% from 'os' import popen %}",
    "{{ name|tojson }}",
    "{{ name|pprint }}",
    "{{ 'http://a.b'|urlize }}",
    "{{ {'a': 1}|xmlattr }}",
    "{{ list|random }}",
    "{{ name|nosuchfilter }}",
    "{{ list|map('nosuchfilter')|list }}",
    "{{ list|map('attr', '__class__')|list }}",
    "{{ 1 is nosuchtest }}",
    "{% do list.append(1) %}",
    "{% debug %}",
    "{{ ",
    "{% for %}",
    "{% if x %}",
    "{{ 1 +/ 2 }}",
    "{{ 'unclosed }}",
    "{{ 1 + 'a' }}",
    "{{ list + 1 }}",
    "{{ 1 / 0 }}",
    "{% for x in n %}{% endfor %}",
    "{{ n|format('%s %s') }}",
    "{{ name|format('%d') }}",
    "{{ n|format('%(a)s') }}",
    "{{ list|sum(start='') }}",
]

DEEP_LOOPS = "".join(f"{{% for a{n} in numbers %}}" for n in range(4)) + "x" + "{% endfor %}" * 4
DOUBLING = "{% set a0 = big %}" + "".join(f"{{% set a{n + 1} = a{n} ~ a{n} %}}" for n in range(12))
CAPTURES = "{% set a0 %}{{ big }}{% endset %}" + "".join(
    f"{{% set a{n + 1} %}}{{{{ a{n} }}}}{{{{ a{n} }}}}{{% endset %}}" for n in range(30)
)
ADDING = "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x }}"
MULTIPLYING = (
    "{% set ns = namespace(x=9) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}{{ ns.x }}"
)

BOMBS = [
    "{{ 'a' * 1000000000 }}",
    "{{ 1000000000 * 'a' }}",
    "{{ [1] * 1000000000 }}",
    "{{ (big, big) * 400000 }}",
    "{{ 9 ** (9 ** 9) }}",
    "{{ 10 ** 1000000 }}",
    "{{ 2 ** (2 ** 30) }}",
    MULTIPLYING,
    ADDING,
    DOUBLING,
    CAPTURES,
    DEEP_LOOPS,
    "{% for a in range(10001) %}{% endfor %}",
    "{{ range(1000000000)|list }}",
    "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}",
    "{% for a in range(10000) %}{{ range(10000)|list|length }}{% endfor %}",
    "{% for a in range(10000) %}{{ big|upper|length }}{% endfor %}",
    "{% for a in range(10000) %}{% if big == big|lower %}{% endif %}{% endfor %}",
    "{% for a in range(1000) %}{{ big }}{% endfor %}",
    "{{ big }}{{ big }}",
    "{{ [big, big, big] }}",
    "{{ {'a': big, 'b': big} }}",
    "{{ ([big] * 10000) }}",
    "{{ ([big] * 10000)|string }}",
    "{{ ([big] * 10000)|join }}",
    "{{ ''.join([big] * 10000) }}",
    "{{ big.join(['a'] * 10000) }}",
    "{{ ['a', 'b', 'c']|join(big) }}",
    "{{ big.replace('x', 'yyyyyyyyyy') }}",
    "{{ big|replace('x', 'yyyyyyyyyy') }}",
    "{{ ('a' * 1000).replace('', big) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%.1000000000f' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%s%s%s%s' % (big, big, big, big) }}",
    "{{ '%(a)s%(a)s%(a)s' % {'a': big} }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:.1000000000f}'.format(1.5) }}",
    "{{ '{:{w}}'.format(1, w=1000000000) }}",
    "{{ '{0}{0}{0}'.format(big) }}",
    "{{ ('{0}' * 300000).format(big) }}",
    "{{ 'a'.ljust(1000000000) }}",
    "{{ 'a'.rjust(1000000000) }}",
    "{{ 'a'.center(1000000000) }}",
    "{{ '1'.zfill(1000000000) }}",
    "{{ 'a'|center(1000000000) }}",
    "{{ lines|indent(1000000) }}",
    "{{ 'a\nb'|indent(1000000000, true) }}",
    "{{ lines|indent(big) }}",
    "{{ big|wordwrap(1, true, big) }}",
    "{{ big|wordwrap(1) }}",
    "{{ list|batch(1000000000, 'x')|list }}",
    "{{ list|slice(1000000000)|list }}",
    "{{ pi|round(1000000000) }}",
    "{{ pi|round(1000000000, 'floor') }}",
    "{{ ('<!---->' * 130000)|striptags }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{% call(x) m() %}{% endcall %}" * 6_000,
    "{{ a }}" * 5_001,
    "{{ a }}" + "x" * 200_000,
    "{{ " + "(" * 5_000 + "1" + ")" * 5_000 + " }}",
    "{{ " + "[" * 5_000 + "]" * 5_000 + " }}",
    "{{ " + "-" * 20_000 + "1 }}",
    "{{ " + "1 + " * 20_000 + "1 }}",
    "{{ " + "not " * 20_000 + "1 }}",
    "{% if 1 %}" * 900 + "{% endif %}" * 900,
    "x" * (MAX_TEXT_CHARACTERS + 1),
]


def attempt(template: str) -> tuple[str, str]:
    """Return what a template gives, and what it is refused with."""
    try:
        return render(template, VALUES), ""
    except BlockError as error:
        return "", error.message


@pytest.mark.parametrize(("template", "text"), RENDERINGS)
def test_a_template_is_filled(template: str, text: str) -> None:
    assert render(template, VALUES) == text


def test_a_template_is_the_same_every_time() -> None:
    template = "{% for x in rows %}{{ x }}{% endfor %}{{ name|upper }}"

    assert len({render(template, VALUES) for _ in range(3)}) == 1


@pytest.mark.parametrize("template", INJECTIONS)
def test_an_attack_is_refused_or_gives_nothing(template: str) -> None:
    text, message = attempt(template)

    assert len(message) < 150
    assert CANARY not in message
    assert not any(word in text for word in ("class", "object", "0x", "root:", "builtin", "function"))


@pytest.mark.parametrize("template", INJECTIONS)
def test_an_attack_changes_no_value(template: str) -> None:
    values: dict[str, Any] = {"list": ["a"], "dict": {"a": 1}, "name": "Ada", "n": 3}
    before = repr(values)

    try:
        render(template, values)
    except BlockError:
        pass

    assert repr(values) == before


@pytest.mark.parametrize("template", BOMBS, ids=lambda template: template[:60])
@pytest.mark.timeout(20)
def test_a_bomb_is_stopped(template: str) -> None:
    with pytest.raises(BlockError) as stopped:
        render(template, VALUES)

    assert len(stopped.value.message) < 150


@pytest.mark.parametrize(
    "template",
    [
        "{{ secret + 1 }}",
        "{{ dict[secret].x }}",
        "{{ secret.nothing.more }}",
        "{{ secret|int / 0 }}",
        "{{ secret|format('%d') }}",
        "{{ (secret)() }}",
        "{{ dict|map(secret)|list }}",
        "{{ '%d' % secret }}",
        f"{{{{ {CANARY} {CANARY} }}}}",
        f"{{{{ 1|{CANARY.replace('-', '_')} }}}}",
    ],
)
def test_an_error_never_quotes_a_value(template: str) -> None:
    with pytest.raises(BlockError) as failed:
        render(template, VALUES)

    assert CANARY not in failed.value.message
    assert CANARY.replace("-", "_") not in failed.value.message
    assert failed.value.__cause__ is None


def test_a_filter_that_is_left_out_is_named() -> None:
    with pytest.raises(BlockInputInvalid, match="`tojson`"):
        render("{{ name|tojson }}", VALUES)


def test_a_syntax_error_names_its_line() -> None:
    with pytest.raises(BlockInputInvalid, match="line 3"):
        render("a\nb\n{% endfor %}", VALUES)


def test_html_is_escaped_on_request() -> None:
    assert render("<i>{{ html }}</i>", VALUES, escape_html=True) == "<i>&lt;b&gt;</i>"
    assert (
        render("{{ '<i>' ~ html }}|{{ [html]|join }}", VALUES, escape_html=True)
        == "&lt;i&gt;&lt;b&gt;|&lt;b&gt;"
    )
    assert render("{{ html|safe }}", VALUES, escape_html=True) == "<b>"


def test_escaping_cannot_be_used_to_grow() -> None:
    with pytest.raises(BlockLimitExceeded):
        render("{{ x }}", {"x": "<" * 600_000}, escape_html=True)


@given(st.text(max_size=60))
def test_no_text_breaks_the_renderer(text: str) -> None:
    for template in (text, "{{" + text + "}}", "{%" + text + "%}"):
        assert CANARY not in attempt(template)[1]
