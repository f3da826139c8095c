import re
import string
from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from esl import commands
from esl.commands import (
    HOLD_TIMES,
    JOIN_FLAGS,
    LEVEL_VERBS,
    MAX_URL_LENGTH,
    MEMBER_VERBS,
    AnnounceLeg,
    Beep,
    CallBridge,
    ChannelExists,
    ControlCallRecording,
    ControlRoomRecording,
    CoreUuid,
    Dial,
    DialLeg,
    EmptyFile,
    Epoch,
    FetchFile,
    FileExists,
    FileVolume,
    GlobalVariable,
    Hangup,
    Hold,
    IgnoreKeys,
    IsPlaying,
    Join,
    JsonList,
    Kick,
    ListTaps,
    LocateConfiguration,
    MemberCommand,
    MemberLevel,
    ModuleExists,
    PausePlay,
    Ping,
    Play,
    PlayStatus,
    PlayToChannel,
    PlayToMember,
    Prefetch,
    PutFile,
    RecordCall,
    RecordRoom,
    Relate,
    Relations,
    SendDtmf,
    ShowChannels,
    ShowFileFormats,
    SipStatus,
    Status,
    StopChannel,
    StopMember,
    StopPlay,
    Transfer,
    WithdrawLeg,
    ascii_name,
    clean_url,
    parse_file,
)
from esl.event import Event
from tests.unit.fakenode import TRACES, recorded_events

UUID = "a03719bf-9185-48d6-b57e-33c69bbc843a"
LEG = "7d444840-9dc0-41d1-9245-5ffdce74fb01"
PATH = "/var/lib/switchroom-node/recordings/0f8fad5bd9cb469fa16570867728950e.wav"
ROOM = "acW68-room-550e8400-e29b-41d4-a716-446655440003"
URL = "http://127.0.0.1:8098/tone1s.wav"


def freeswitch_splits(line: str) -> list[str]:
    """Arguments as `separate_string_blank_delim` and `cleanup_separated_string` of switch_utils.c cut them."""
    words, quoted, at = [""], False, 0
    while at < len(line):
        char = line[at]
        if char == "\\" and at + 1 < len(line):
            at += 1
            words[-1] += {"n": "\n", "r": "\r", "t": "\t", "s": " "}.get(line[at], line[at])
        elif char == "'":
            quoted = not quoted
        elif char == " " and not quoted:
            while line[at : at + 1] == " ":
                at += 1
            words.append("")
            continue
        else:
            words[-1] += char
        at += 1
    return words


RENDERED = {
    Join(UUID, ROOM, "default"): f"uuid_transfer {UUID} 'conference:{ROOM}@default+flags{{mute}},park:' inline",
    Join(UUID, ROOM, "default", ()): f"uuid_transfer {UUID} 'conference:{ROOM}@default,park:' inline",
    Kick(ROOM, 1): f"conference {ROOM} kick 1",
    Kick(ROOM, "1"): f"conference {ROOM} kick 1",
    Kick(ROOM, "all"): f"conference {ROOM} kick all",
    MemberCommand(ROOM, 1, "mute"): f"conference {ROOM} mute 1",
    MemberCommand(ROOM, 1, "unmute"): f"conference {ROOM} unmute 1",
    MemberLevel(ROOM, 1, "volume_in", -4): f"conference {ROOM} volume_in 1 -4",
    MemberLevel(ROOM, "7", "volume_out", "2"): f"conference {ROOM} volume_out 7 2",
    Hold(ROOM, 7): f"conference {ROOM} hold 7 silence_stream://-1",
    Hold(ROOM, 7, music="local_stream://moh"): (
        f"conference {ROOM} hold 7 file_string://{'local_stream://moh!' * HOLD_TIMES}silence_stream://-1"
    ),
    Hold(
        ROOM, 7, (URL,), "/srv/music.wav"
    ): f"conference {ROOM} hold 7 file_string://{f'{URL}!' * HOLD_TIMES}silence_stream://-1",
    Hold(ROOM, 7, ("http://h/a!b.wav", URL)): (
        f"conference {ROOM} hold 7 file_string://" + f"http://h/a%21b.wav!{URL}!" * HOLD_TIMES + "silence_stream://-1"
    ),
    Beep(ROOM, "enter"): f"conference {ROOM} play tone_stream://%(250,0,700) async",
    Beep(ROOM, "exit"): f"conference {ROOM} play tone_stream://%(250,0,480) async",
    Beep(ROOM, "exit", ("http://h/a.wav",)): f"conference {ROOM} play http://h/a.wav async",
    Beep(ROOM, "exit", ("http://h/a.wav", "http://h/b")): (
        f"conference {ROOM} play file_string://!http://h/a.wav!http://h/b async"
    ),
    PausePlay(ROOM): f"conference {ROOM} pause_play",
    PlayStatus(ROOM): f"conference {ROOM} play_status",
    StopPlay(ROOM): f"conference {ROOM} stop all",
    FileVolume(ROOM, -50): f"conference {ROOM} file-vol -50",
    FileVolume(ROOM, "3"): f"conference {ROOM} file-vol 3",
    AnnounceLeg(UUID, ROOM, "default"): f"global_setvar switchroom_leg_{UUID}={ROOM}@default",
    WithdrawLeg(UUID): f"global_setvar switchroom_leg_{UUID}=",
    Dial(UUID, "+4930123456", "+493098765432", 60, 3600, "127.0.0.1:5071", "public"): (
        f"originate {{origination_uuid={UUID},origination_caller_id_number=+493098765432,"
        "origination_caller_id_name=+493098765432,originate_timeout=60,ignore_early_media=true,"
        "outbound_redirect_fatal=true,accountcode=switchroom,execute_on_answer=sched_hangup:+3600}"
        "sofia/public/+4930123456@127.0.0.1:5071 &park()"
    ),
    Dial(UUID, "112", "30", 5, 1, "sip.example", "public", "tls", "us-1", "a#!=b/?@_~-"): (
        f"originate {{origination_uuid={UUID},origination_caller_id_number=30,origination_caller_id_name=30,"
        "originate_timeout=5,ignore_early_media=true,outbound_redirect_fatal=true,accountcode=switchroom,"
        "execute_on_answer=sched_hangup:+1,sip_auth_username=us-1,sip_auth_password=a#!=b/?@_~-}"
        "sofia/public/112@sip.example;transport=tls &park()"
    ),
    Dial(UUID, "anna.b_c-+1", "30", 5, 1, "pbx.example:5062", "public"): (
        f"originate {{origination_uuid={UUID},origination_caller_id_number=30,origination_caller_id_name=30,"
        "originate_timeout=5,ignore_early_media=true,outbound_redirect_fatal=true,accountcode=switchroom,"
        "execute_on_answer=sched_hangup:+1}sofia/public/anna.b_c-+1@pbx.example:5062 &park()"
    ),
    Transfer(UUID, LEG, "+4930123456", "30", 60, 9, "sip.example", "public", "tls", "us-1", "a#!=b/?@_~-"): (
        f"uuid_transfer {UUID} 'm:^:set:switchroom_transfer={LEG}^set:continue_on_fail=true"
        "^set:hangup_after_bridge=true^set:ignore_display_updates=true^set:transfer_ringback=%(1000,4000,425)"
        "^set:sip_copy_custom_headers=false^set:sip_copy_multipart=false"
        f"^bridge:{{origination_uuid={LEG},origination_caller_id_number=30,origination_caller_id_name=30,"
        "originate_timeout=60,ignore_early_media=true,outbound_redirect_fatal=true,accountcode=switchroom-transfer,"
        "execute_on_answer=sched_hangup:+9,sip_copy_custom_headers=false,sip_copy_multipart=false,"
        "origination_privacy=screen,sip_auth_username=us-1,sip_auth_password=a#!=b/?@_~-}"
        "sofia/public/+4930123456@sip.example;transport=tls^park:' inline"
    ),
    DialLeg(UUID, ROOM, "default", "127.0.0.1:5090", "bcX79"): (
        f"originate {{origination_uuid={UUID},origination_caller_id_number=bcX79,originate_timeout=5,"
        f"media_timeout=3000,conference_join_energy_level=0}}sofia/bridge/{ROOM}@127.0.0.1:5090;transport=tcp "
        f"&conference({ROOM}@default+flags{{nomoh}})"
    ),
    CallBridge("10.0.0.5:5090"): (
        "originate {originate_timeout=5}sofia/bridge/doctor@10.0.0.5:5090;transport=tcp &hangup()"
    ),
    RecordRoom(ROOM, PATH): f"conference {ROOM} recording start {PATH}",
    ControlRoomRecording(ROOM, PATH, "pause"): f"conference {ROOM} recording pause {PATH}",
    ControlRoomRecording(ROOM, PATH, "stop"): f"conference {ROOM} recording stop {PATH}",
    RecordCall(
        UUID, PATH, 3600
    ): f"uuid_record {UUID} start {PATH} 3600 {{RECORD_STEREO=false,RECORD_PRE_BUFFER_FRAMES=1}}",
    RecordCall(
        UUID, PATH, 60, stereo=True
    ): f"uuid_record {UUID} start {PATH} 60 {{RECORD_STEREO=true,RECORD_PRE_BUFFER_FRAMES=1}}",
    ControlCallRecording(UUID, PATH, "resume"): f"uuid_record {UUID} resume {PATH}",
    ListTaps(UUID): f"uuid_buglist {UUID}",
    PutFile("http://10.0.0.9:8090/recordings/p07/a.wav?expires=1&signature=3f", PATH): (
        f"http_put http://10.0.0.9:8090/recordings/p07/a.wav?expires=1&signature=3f {PATH}"
    ),
    EmptyFile(PATH): f"http_put file://{PATH} {PATH}",
    FileExists(PATH): f"file_exists {PATH}",
    Hangup(UUID): f"uuid_kill {UUID} NORMAL_CLEARING",
    Hangup(UUID, "UNALLOCATED_NUMBER"): f"uuid_kill {UUID} UNALLOCATED_NUMBER",
    SendDtmf(UUID, "0123456789ABCD*#wW", 100): f"uuid_send_dtmf {UUID} 0123456789ABCD*#wW@100",
    IgnoreKeys(UUID): f"uuid_setvar {UUID} playback_terminators none",
    IsPlaying(UUID): f"uuid_fileman {UUID} none",
    StopChannel(UUID): f"uuid_break {UUID} all",
    StopMember(ROOM, 7): f"conference {ROOM} stop all 7",
    PlayStatus(ROOM, 7): f"conference {ROOM} play_status 7",
    ChannelExists(UUID): f"uuid_exists {UUID}",
    Relate(ROOM, 7, (8, "9"), "nospeak"): f"conference {ROOM} relate 7 8,9 nospeak",
    Relate(ROOM, 7, (8,), "clear"): f"conference {ROOM} relate 7 8 clear",
    Relate(ROOM, 7, (0,), "clear"): f"conference {ROOM} relate 7 0 clear",
    Relations(ROOM, 7): f"conference {ROOM} relate 7",
    JsonList(): "conference json_list",
    JsonList(ROOM): f"conference {ROOM} json_list",
    ShowChannels(): "show channels as json",
    ShowFileFormats(): "show file as json",
    SipStatus(): "sofia status",
    Epoch(): "strepoch",
    FetchFile(URL): f"http_get {{refresh=true}}{URL}",
    Prefetch(f"{URL}?e=1#a:b-1:0"): f"http_get {URL}?e=1#a:b-1:0",
    Ping(): "uptime",
    Status(): "status",
    CoreUuid(): "global_getvar core_uuid",
    GlobalVariable("switchroom_prefix"): "global_getvar switchroom_prefix",
    ModuleExists("mod_event_socket"): "module_exists mod_event_socket",
    LocateConfiguration("conference.conf"): "xml_locate configuration configuration name conference.conf",
}


@pytest.mark.parametrize(("command", "line"), RENDERED.items(), ids=RENDERED.values())
def test_rendered(command, line):
    assert command.render() == line


@pytest.mark.parametrize(
    ("url", "fragment"),
    [
        ("http://h/a.wav", ""),
        ("http://h.example/", ""),
        ("http://h.example/a", ""),
        ("http://h/a.wav?version=2", ""),
        ("http://h/a.mp3?X-Goog-Credential=x.example.com", "#.mp3"),
        ("http://h/a.wav?at=b/c", "#.wav"),
        ("http://h/a.WAV", "#.wav"),
        ("http://h/a.Mp3?v=1", "#.mp3"),
        ("http://h/wav", ""),
        ("http://h/wav?v=1.2", "#/"),
        ("http://h/a?v=1.2", "#/"),
        ("http://h/v1.2", "#/"),
        ("http://h/a.b/c", ""),
    ],
)
def test_a_url_is_played_as_what_its_name_says_whatever_follows(url, fragment):
    assert Play(ROOM, url).render() == f"conference {ROOM} play {url}{fragment}"


def test_play():
    params = {"operation_id": "0b7f2a4e", "url_index": 0, "vol": -3}
    expected = f"conference {ROOM} play {{operation_id=0b7f2a4e,url_index=0,vol=-3}}{URL}"
    assert Play(ROOM, URL, params).render() == expected
    assert Play(ROOM, URL).render() == f"conference {ROOM} play {URL}"
    assert Play(ROOM, URL, params, f"{URL}?e=1#a:b-1:0").render() == expected.replace(
        URL, f"file_string://!{URL}!{URL}?e=1#a:b-1:0"
    )
    assert Play(ROOM, "http://h/a b").render() == f"conference {ROOM} play http://h/a%20b"


def test_play_to_one_call():
    params = {"operation_id": "0b7f", "url_index": 0}
    file = f"{{operation_id=0b7f,url_index=0}}{URL}"
    assert PlayToChannel(UUID, [URL], params).render() == f"uuid_broadcast {UUID} playback::{file} aleg"
    assert PlayToMember(ROOM, 7, [URL], params).render() == f"conference {ROOM} play {file} 7"
    # An address like this one must not pass for the name of an application.
    several = "playback::file_string://!http://[::1]/a!http://h/b"
    assert PlayToChannel(UUID, ["http://[::1]/a", "http://h/b"]).render() == f"uuid_broadcast {UUID} {several} aleg"
    # A `!` of a URL does not part files.
    assert PlayToMember(ROOM, 7, ["http://h/a!b", URL]).render().split()[3] == f"file_string://!http://h/a%21b!{URL}"
    for params in ({"operation_id": "a,b=c"}, {"operation_id": "a}b"}, {"a b": "1"}):
        with pytest.raises(ValueError, match="file parameter"):
            PlayToChannel(UUID, [URL], params).render()


def test_the_recorded_commands_are_rendered_to_the_letter():
    """What the traces' scenarios sent, FreeSWITCH is known to understand."""
    sent = "".join(path.read_text() for path in TRACES.glob("*.jsonl"))
    for line in set(re.findall(r'"send", "raw": "(?:bg)?api (conference [^ ]+ (?:kick|mute|unmute) [0-9a-z]+)', sent)):
        _, room, verb, member = line.split(" ")
        command = Kick(room, member) if verb == "kick" else MemberCommand(room, member, verb)
        assert command.render() == line
    joins = re.findall(r"api uuid_transfer ([^ ]+) 'conference:([^@]+)@default(?:\+flags{([a-z|]+)})?,park", sent)
    assert {flags for _, _, flags in joins} == {"", "mute", "deaf", "mute|deaf"}
    for uuid, room, flags in joins:
        given = flags.split("|") if flags else ()
        assert f"api {Join(uuid, room, 'default', given).render()}\\n" in sent
    for command in (PausePlay(ROOM[:-1] + "6"), StopPlay(ROOM[:-1] + "6"), FileVolume(ROOM[:-1] + "6", 3)):
        assert f"bgapi {command.render()}\\n" in sent
    leg, room = "7d444840-9dc0-41d1-9245-5ffdce74fad3", ROOM[:-2] + "20"
    dial = DialLeg(leg, room, "default", "127.0.0.1:5090", "bcX79")
    number = Dial(
        *("7d444840-9dc0-41d1-9245-5ffdce74fa01", "+4930200201", "+493098765432"), 10, 3600, "127.0.0.1:5071", "public"
    )
    for command in (AnnounceLeg(leg, room, "default"), WithdrawLeg(leg), dial, number):
        assert f"bgapi {command.render()}\\n" in sent


HOSTILE = [
    "",
    " ",
    "a b",
    "a\nb",
    "a\r",
    "a\0",
    "a'",
    'a"',
    "a\\",
    "a,b",
    "a{b}",
    "a@b",
    "a+b",
    "^^;a",
    "-both",
    "ä",
    "${a}",
]


@pytest.mark.parametrize("text", [*HOSTILE, "a" * 129])
def test_names_are_refused_rather_than_escaped(text):
    for command in (
        Join(text, ROOM, "default"),
        Join(UUID, text, "default"),
        Join(UUID, ROOM, text),
        Kick(text, 1),
        Hold(ROOM, 7, music=f"local_stream://{text}"),
        Play(text, URL),
        JsonList(text),
        Hangup(text),
        Hangup(UUID, text),
        SendDtmf(text, "1", 100),
        ChannelExists(text),
        ModuleExists(text),
        LocateConfiguration(text),
        AnnounceLeg(text, ROOM, "default"),
        AnnounceLeg(UUID, text, "default"),
        AnnounceLeg(UUID, ROOM, text),
        WithdrawLeg(text),
        Dial(text, "112", "30", 5, 1, "h", "public"),
        Dial(UUID, "112", text, 5, 1, "h", "public"),
        Dial(UUID, "112", "30", 5, 1, text, "public"),
        Dial(UUID, "112", "30", 5, 1, f"h:{text}", "public"),
        Dial(UUID, "112", "30", 5, 1, "h", text),
        Dial(UUID, "112", "30", 5, 1, "h", "public", text),
        Transfer(text, LEG, "112", "30", 5, 1, "h", "public"),
        Transfer(UUID, text, "112", "30", 5, 1, "h", "public"),
        Transfer(UUID, LEG, "112", text, 5, 1, "h", "public"),
        Transfer(UUID, LEG, "112", "30", 5, 1, text, "public"),
        Transfer(UUID, LEG, "112", "30", 5, 1, "h", text),
        Transfer(UUID, LEG, "112", "30", 5, 1, "h", "public", text),
        DialLeg(text, ROOM, "default", "h:5090", "bcX79"),
        DialLeg(UUID, text, "default", "h:5090", "bcX79"),
        DialLeg(UUID, ROOM, text, "h:5090", "bcX79"),
        DialLeg(UUID, ROOM, "default", text, "bcX79"),
        DialLeg(UUID, ROOM, "default", f"{text}:5090", "bcX79"),
        DialLeg(UUID, ROOM, "default", f"h:{text}", "bcX79"),
        DialLeg(UUID, ROOM, "default", "h:5090", text),
        CallBridge(f"{text}:5090"),
    ):
        with pytest.raises(ValueError, match=r"^not a "):
            command.render()


@pytest.mark.parametrize(
    "text",
    [
        *(text for text in HOSTILE if text not in ("a+b", "-both")),
        "a|b",
        "a^b",
        "[a=1]b",
        "a:_:b",
        "a%40b",
        "a/b",
        "a;b",
        "a&b",
        "a" * 65,
    ],
)
def test_whom_to_call_is_refused_rather_than_escaped(text):
    for command in (
        Dial(UUID, text, "30", 5, 1, "h", "public"),
        Transfer(UUID, LEG, text, "30", 5, 1, "h", "public"),
    ):
        with pytest.raises(ValueError, match=r"^not a user to call"):
            command.render()


@pytest.mark.parametrize(
    "text",
    ["a b", "a\nb", "a^b", "a,b", "a{b}", "a'", 'a"', "a\\", "a|b", "a[b", "^^;a", "ä", "${a}", "a:b", "a" * 129],
)
def test_a_gateway_s_credentials_hold_nothing_that_freeswitch_reads_and_are_not_quoted(text):
    for user, password in ((text, "secret"), ("us", text), ("us", "")):
        with pytest.raises(ValueError, match=r"^not the credentials of a gateway$"):
            Dial(UUID, "112", "30", 5, 1, "h", "public", "udp", user, password).render()
        with pytest.raises(ValueError, match=r"^not the credentials of a gateway$"):
            Transfer(UUID, LEG, "112", "30", 5, 1, "h", "public", "udp", user, password).render()


def test_a_call_that_is_dialled_has_its_bounds():
    for timeout, seconds in ((0, 1), (1, 0), (-1, 1), ("5,x=1", 1), (5, "1 x")):
        with pytest.raises(ValueError, match=r"^not seconds"):
            Dial(UUID, "112", "30", timeout, seconds, "h", "public").render()


def test_a_channel_that_is_refused_is_not_quoted():
    """The refusal is a webhook's reason, and a channel's uuid takes the call over."""
    channels = (Join("a@b", ROOM, "default"), Hangup("a@b"), SendDtmf("a@b", "1", 100), ChannelExists("a@b"))
    channels = (*channels, RecordCall("a@b", PATH, 60), ControlCallRecording("a@b", PATH, "stop"), ListTaps("a@b"))
    for command in (*channels, AnnounceLeg("a@b", ROOM, "default"), WithdrawLeg("a@b")):
        with pytest.raises(ValueError, match="uuid") as refused:
            command.render()
        assert "a@b" not in str(refused.value)


@pytest.mark.parametrize("digits", [*HOSTILE, "", "a", "1@2", "1+2", "~1", "1\n", "²", "1" * 97])
def test_digits_that_are_refused_are_not_quoted(digits):
    """They may be a PIN, and the refusal stands in the event log."""
    with pytest.raises(ValueError, match=r"^not digits to send$"):
        SendDtmf(UUID, digits, 100).render()


@pytest.mark.parametrize(
    "member", ["", "0", "-1", "1 ", "1,2", "last", "non_moderator", "ALL", "²", "1\n", 0, -1, True]
)
def test_a_member_is_a_number(member):
    for command in (Kick(ROOM, member), MemberCommand(ROOM, member, "mute")):
        with pytest.raises(ValueError, match="not a member id"):
            command.render()


@pytest.mark.parametrize("leg", [UUID.upper(), UUID[:-1], UUID + "0", UUID.replace("-", ""), UUID + "\n"])
def test_a_leg_is_a_uuid_as_the_dialplan_takes_it(leg):
    for command in (WithdrawLeg(leg), AnnounceLeg(leg, ROOM, "default"), DialLeg(leg, ROOM, "default", "h:1", "bcX79")):
        with pytest.raises(ValueError, match="not a leg's uuid"):
            command.render()


@pytest.mark.parametrize(
    "target", ["h", "h:", ":5090", "h:0", "h:65536", "[::1]:5090", "h:5090;transport=udp", "h:5 0"]
)
def test_a_leg_is_dialled_to_a_host_and_a_port(target):
    for command in (DialLeg(UUID, ROOM, "default", target, "bcX79"), CallBridge(target)):
        with pytest.raises(ValueError, match="not a node's host:port"):
            command.render()


@pytest.mark.parametrize("verb", ["", "kick", "hup", "MUTE", "mute 1", "mute\n"])
def test_a_member_command_has_a_verb_that_is_allowed(verb):
    with pytest.raises(ValueError, match="not a verb"):
        MemberCommand(ROOM, 1, verb).render()


@pytest.mark.parametrize("level", ["", "loud", "1.5", "+1", "1\n", 51, -51, 10**9, True])
def test_a_volume_is_a_number_in_range(level):
    with pytest.raises(ValueError, match="a volume"):
        FileVolume(ROOM, level).render()


@pytest.mark.parametrize("text", [text for text in HOSTILE if text not in {"-both"}])
def test_file_parameters_cannot_bring_others(text):
    with pytest.raises(ValueError, match="file parameter"):
        Play(ROOM, URL, {text: "1"}).render()
    with pytest.raises(ValueError, match="file parameter"):
        Play(ROOM, URL, {"a": text}).render()
    with pytest.raises(ValueError, match="file parameter"):
        Play(ROOM, URL, {"a": "b=c"}).render()


@pytest.mark.parametrize("text", [text for text in HOSTILE if text not in {"-both"}] + ["", "a!b", "a.b", "a/b", "a#b"])
def test_the_fragment_of_a_second_part_is_plain(text):
    for command in (Play(ROOM, URL, {}, f"{URL}#{text}"), Prefetch(f"{URL}#{text}")):
        with pytest.raises(ValueError, match="not a fragment"):
            command.render()


@pytest.mark.parametrize("urls", [("http://h/a!b.wav", URL), (URL, "http://h/a!b.wav")])
def test_a_url_cannot_bring_another_into_a_list_of_files(urls):
    first, rest = (url.replace("!", "%21") for url in urls)
    assert Play(ROOM, urls[0], {}, urls[1]).render() == f"conference {ROOM} play file_string://!{first}!{rest}"


@pytest.mark.parametrize("room", ["list", "LIST", "json_list", "xml_list", "count", "help", "commands"])
def test_a_room_is_no_subcommand(room):
    """`conference list kick all` would be a listing, whenever no room is called that."""
    with pytest.raises(ValueError, match="not a room"):
        Kick(room, "all").render()


def test_no_command_reloads_the_event_socket():
    """mod_event_socket looks for two words anywhere in a line, and does what it takes them for."""
    with pytest.raises(ValueError, match="reload itself"):
        Join("unload", "mod_event_socket", "default").render()
    line = Play(ROOM, "http://h/Reload/Mod_Event_Socket.wav").render()
    assert "mod_event_socket" not in line.lower()
    assert line.endswith("http://h/Reload/mod%5Fevent_socket.wav")


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,40}", fullmatch=True)
TEXT = st.one_of(NAMES, st.text(max_size=12), st.text("ab '\\\"{},@+^\n\r\0", max_size=12))
MEMBERS = st.one_of(st.integers(), TEXT)
URLS = st.one_of(TEXT, st.builds("http://{}/{}?{}".format, st.one_of(NAMES, TEXT), TEXT, st.text(max_size=20)))

ANY_COMMAND = st.one_of(
    st.tuples(
        st.builds(Join, TEXT, TEXT, TEXT, st.lists(st.one_of(st.sampled_from(sorted(JOIN_FLAGS)), TEXT))), st.just(4)
    ),
    st.tuples(st.builds(Kick, TEXT, st.one_of(MEMBERS, st.just("all"))), st.just(4)),
    st.tuples(
        st.builds(MemberCommand, TEXT, MEMBERS, st.one_of(st.sampled_from(sorted(MEMBER_VERBS)), TEXT)), st.just(4)
    ),
    st.tuples(st.builds(Hold, TEXT, MEMBERS, st.lists(URLS, max_size=2).map(tuple)), st.just(5)),
    st.tuples(
        st.builds(MemberLevel, TEXT, MEMBERS, st.one_of(st.sampled_from(sorted(LEVEL_VERBS)), TEXT), MEMBERS),
        st.just(5),
    ),
    st.tuples(st.builds(Play, TEXT, URLS, st.dictionaries(TEXT, MEMBERS, max_size=3)), st.just(4)),
    st.tuples(st.builds(Play, NAMES, URLS, st.dictionaries(NAMES, st.integers(), max_size=3)), st.just(4)),
    st.tuples(st.builds(PausePlay, TEXT), st.just(3)),
    st.tuples(st.builds(StopPlay, TEXT), st.just(4)),
    st.tuples(st.builds(FileVolume, TEXT, MEMBERS), st.just(4)),
    st.tuples(st.builds(RecordRoom, TEXT, TEXT), st.just(5)),
    st.tuples(st.builds(ControlRoomRecording, TEXT, TEXT, TEXT), st.just(5)),
    st.tuples(st.builds(RecordCall, TEXT, TEXT, st.integers(), st.booleans()), st.just(6)),
    st.tuples(st.builds(ControlCallRecording, TEXT, TEXT, TEXT), st.just(4)),
    st.tuples(st.builds(ListTaps, TEXT), st.just(2)),
    st.tuples(st.builds(PutFile, TEXT, TEXT), st.just(3)),
    st.tuples(st.builds(EmptyFile, TEXT), st.just(3)),
    st.tuples(st.builds(FileExists, TEXT), st.just(2)),
    st.tuples(st.builds(Hangup, TEXT, TEXT), st.just(3)),
    st.tuples(st.builds(SendDtmf, TEXT, st.one_of(st.text("0123456789ABCD*#wW"), TEXT), st.integers()), st.just(3)),
    st.tuples(st.builds(ChannelExists, TEXT), st.just(2)),
    st.tuples(st.builds(AnnounceLeg, st.one_of(st.just(UUID), TEXT), NAMES, TEXT), st.just(2)),
    st.tuples(st.builds(WithdrawLeg, TEXT), st.just(2)),
    st.tuples(st.builds(DialLeg, st.just(UUID), NAMES, NAMES, TEXT.map("{}:5090".format), TEXT), st.just(3)),
    st.tuples(st.builds(JsonList, TEXT), st.just(3)),
    st.tuples(st.builds(ModuleExists, TEXT), st.just(2)),
    st.tuples(st.builds(LocateConfiguration, TEXT), st.just(5)),
)


@settings(deadline=None, max_examples=500)
@given(ANY_COMMAND)
def test_whatever_is_rendered_is_one_line_of_so_many_arguments(case):
    command, arguments = case
    try:
        line = command.render()
    except ValueError:
        return
    assert not re.search(r"[\n\r\0]", line)
    assert len(freeswitch_splits(line)) == arguments
    assert line.isascii()


def test_every_command_is_tried_above():
    named = {name for name, value in vars(commands).items() if hasattr(value, "render") and name != "Command"}
    assert named == {type(command).__name__ for command in RENDERED} | {"Play", "PlayToChannel", "PlayToMember"}


# -- URLs


@pytest.mark.parametrize(
    ("url", "cleaned"),
    [
        ("http://h", "http://h/"),
        ("http://h?a=b", "http://h/?a=b"),
        ("HTTPS://Ex.com:8443/A.wav", "https://Ex.com:8443/A.wav"),
        ("http://h/a b'c\"d.wav", "http://h/a%20b%27c%22d.wav"),
        ("http://h/{vol=9}[1]<2>|^`", "http://h/%7Bvol=9%7D%5B1%5D%3C2%3E%7C%5E%60"),
        ("http://h/a,b!c$%7Bx%7D", "http://h/a,b!c$%7Bx%7D"),
        ("http://h/%41%zz%4%", "http://h/%41%25zz%254%25"),
        ("http://h/%c3%a9é", "http://h/%c3%a9%C3%A9"),
        ("http://h/a;v=1/b~c?d=1&e=(2)+*", "http://h/a;v=1/b~c?d=1&e=(2)+*"),
        ("http://h/a.wav#t=10", "http://h/a.wav"),
        ("http://bücher.example/ü", "http://xn--bcher-kva.example/%C3%BC"),
        ("http://my_host.internal./x", "http://my_host.internal./x"),
        ("http://[2001:DB8::1]:80/x", "http://[2001:db8::1]:80/x"),
        # mod_httapi would fetch http://169.254.169.254/latest:
        ("http://h/@169.254.169.254/latest", "http://h/%40169.254.169.254/latest"),
        ("http://h/x?file_string://a!b@@c", "http://h/x?file_string://a!b%40%40c"),
    ],
)
def test_cleaned(url, cleaned):
    assert clean_url(url) == cleaned


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "does not begin with http"),
        ("ftp://h/x", "does not begin with http"),
        ("file:///etc/passwd", "does not begin with http"),
        ("/etc/passwd", "does not begin with http"),
        ("{a=b}http://h/x", "does not begin with http"),
        ("http:/h/x", "does not begin with http"),
        ("httpſ://h/x", "does not begin with http"),
        (" http://h/x", "white space"),
        ("http://h/x\u2003", "white space"),
        ("http://h/x\n", "white space"),
        ("http://h/a\nb", "control character"),
        ("http://h/a\tb", "control character"),
        ("http://h/a\x7fb", "control character"),
        ("http://h/a\x9fb", "control character"),
        ("http://h/a\\b", "backslash"),
        ("http://h\\@evil/", "backslash"),
        ("http://user@h/x", "user info"),
        ("http://user:secret@h/x", "user info"),
        ("http:///x", "no host"),
        ("http://:80/x", "no host"),
        ("http://?x", "no host"),
        ("http://h:/x", "host or port"),
        ("http://h:x/", "host or port"),
        ("http://h:1:2/", "host or port"),
        ("http://[::1/", "host or port"),
        ("http://[::1]x/", "host or port"),
        ("http://h:0/x", "port is not"),
        ("http://h:65536/x", "port is not"),
        ("http://a b/", "not a valid name"),
        ("http://(ua=x)h/", "not a valid name"),
        ("http://a..b/", "not a valid name"),
        ("http://-a/", "not a valid name"),
        ("http://a%2eb/", "not a valid name"),
        ("http://ｅｖｉｌ／x/", "not a valid name"),
        ("http://" + "ü" * 100 + "/", "not a valid name"),
        ("http://" + "a." * 127 + "/", "not a valid name"),
        ("http://mod_event_socket/reload", "not a valid name"),
        ("http://[::1%25eth0]/", "not a valid name"),
        ("http://[::x]/", "not a valid name"),
        ("http://[127.0.0.1]/", "not a valid name"),
        ("http://h/\ud800", "surrogate"),
        ("http://h/" + "a" * MAX_URL_LENGTH, "longer than 2048"),
        ("http://h/" + "é" * 1000, "longer than 2048 characters once encoded"),
    ],
)
def test_not_a_url_to_play(url, reason):
    with pytest.raises(ValueError, match=reason):
        clean_url(url)


@pytest.mark.parametrize("host", ["ü" * 64, "ü" * 620, ".".join(["ü" * 50] * 6), "a。" * 127])
def test_a_host_that_is_too_long_is_refused_before_it_is_encoded(host, monkeypatch):
    """Encoding takes time that grows with the square of a label's length."""
    encoded = []
    monkeypatch.setattr("encodings.idna.ToASCII", encoded.append)
    with pytest.raises(ValueError, match="too long"):
        ascii_name(host)
    with pytest.raises(ValueError, match="not a valid name"):
        clean_url(f"http://{host}/")
    assert encoded == []


def test_the_dots_of_other_scripts_part_labels_too():
    assert ascii_name("。".join(["ü" * 40] * 3)) == ascii_name(".".join(["ü" * 40] * 3))


PARTS = st.text(string.printable.strip() + " éü%{}", max_size=20)


@settings(deadline=None, max_examples=500)
@given(st.one_of(st.text(), st.builds("http://h.example/{}?{}".format, PARTS, PARTS)))
@example("http://h/MOD_EVENT_SOCKET?reload")
@example("http://h/%%41")
def test_cleaning_twice_is_cleaning_once(url):
    try:
        cleaned = clean_url(url)
    except ValueError:
        return
    assert clean_url(cleaned) == cleaned
    assert re.fullmatch(r"https?://[A-Za-z0-9._\[\]:-]+/[A-Za-z0-9%/?:;&=+*().,!$~_-]*", cleaned)


@settings(deadline=None, max_examples=500)
@given(PARTS, PARTS)
def test_the_resource_stays_the_same(path, query):
    assume("#" not in path + query and "?" not in path and "\\" not in path + query)
    # A percent sign stands for itself here, so that decoding is the way back.
    url = f"http://h.example/{path.replace('%', '%25')}?{query.replace('%', '%25')}x"
    parts = urlsplit(clean_url(url))
    assert unquote(parts.path) == "/" + path
    assert unquote(parts.query) == query + "x"


@settings(deadline=None)
@given(st.text(string.ascii_letters + string.digits + "-._~ é", max_size=30))
def test_what_is_encoded_already_stays(path):
    url = "http://h.example/" + quote(path, safe="")
    assert clean_url(url) == url


# -- file strings


@pytest.mark.parametrize(
    ("header", "params", "url"),
    [
        ("{operation_id=0b7f,url_index=0,vol=-3}" + URL, {"operation_id": "0b7f", "url_index": "0", "vol": "-3"}, URL),
        ("{a=1}{b=2}" + URL, {"a": "1"}, "{b=2}" + URL),
        ("{a=1}http://h/}x{", {"a": "1"}, "http://h/}x{"),
        ("{a=b=c,d,e=}" + URL, {"a": "b=c", "e": ""}, URL),
        ("{}" + URL, {}, URL),
        (URL, {}, URL),
        ("{a=1", {}, "{a=1"),
        ("", {}, ""),
        ("silence", {}, "silence"),
    ],
)
def test_parse_file(header, params, url):
    assert parse_file(header) == (params, url)


def test_the_recorded_file_headers():
    done = [event for event in map(Event, recorded_events()) if event.get("Action") == "play-file-done"]
    parsed = [parse_file(event["File"]) for event in done]
    assert len(parsed) > 10
    for event, (params, url) in zip(done, parsed, strict=True):
        assert url.startswith(("http://", "file_string://", "tone_stream://"))
        assert {name: event[name] for name in params} == params  # at its end, a file is the head of the queue


@settings(deadline=None)
@given(st.dictionaries(NAMES.filter(lambda name: not name[0].isdigit() and "." not in name), st.integers(), max_size=4))
def test_what_play_sends_is_what_parse_file_reads(params):
    file = Play(ROOM, URL, params).render().split(" ")[3]
    assert parse_file(file) == ({name: str(value) for name, value in params.items()}, URL)
