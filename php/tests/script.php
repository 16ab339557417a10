<?php
// Handlers for replies.php, which asks for one of them by CASE.

declare(strict_types=1);

require __DIR__ . '/../WsFpm.php';

use WsFpm\Event;
use WsFpm\Reply;

$cases = [
    'nothing' => function () { return 'a result'; },
    'accept' => function (Event $e, Reply $r) { $r->accept('chat')->send('welcome')->user('42')->set('room_id', 'r1')->set('Room-Id', 'r2')->expire(60); },
    'accept with cookie' => function (Event $e, Reply $r) { setcookie('a', 'b'); $r->accept(); },
    'accept and close' => function (Event $e, Reply $r) { $r->accept()->close(4401, 'sign in'); },
    'close without accept' => function (Event $e, Reply $r) { $r->close(4401, 'sign in'); },
    'first message without accept' => function (Event $e, Reply $r) { $r->send('secret')->user('1'); },
    'reject' => function (Event $e, Reply $r) { $r->user('1')->reject(401, '{"why":"who are you"}', 'application/json'); },
    'accept, then reject' => function (Event $e, Reply $r) { $r->accept()->user('1')->close(4000)->reject(401, 'no'); },
    'accept, then throw' => function (Event $e, Reply $r) { $r->accept(); setcookie('a', 'b'); throw new RuntimeException("line one\r\nline two"); },
    'accept, then a type error' => function (Event $e, Reply $r) { $r->accept(); strlen([]); },
    'accept, then die' => function (Event $e, Reply $r) { $r->accept(); die('db down'); },
    'accept, then out of memory' => function (Event $e, Reply $r) { $r->accept(); str_repeat('x', 1 << 30); },
    'accept, then a parse error' => function (Event $e, Reply $r) { $r->accept(); eval('this is no php('); },
    'accept, then another WS-Accept' => function (Event $e, Reply $r) { header('WS-Accept: yes'); throw new Exception('no'); },
    'echo' => function (Event $e, Reply $r) { $e->opcode === 'binary' ? $r->binary($e->body) : $r->send($e->body); },
    'json' => function (Event $e, Reply $r) { $r->json(['ä' => '/', 'n' => 1.5]); },
    'prints' => function (Event $e, Reply $r) { echo 'Notice: '; $r->send('x'); print 'more'; },
    'prints and flushes' => function (Event $e, Reply $r) { ob_end_flush(); echo 'x'; flush(); $r->send('y'); },
    'buffers within buffers' => function (Event $e, Reply $r) { ob_start(); ob_start(function (string $s) { return strrev($s); }); $r->send('abc'); },
    'unbind' => function (Event $e, Reply $r) { $r->user(null)->set('a', '')->set('b', null); },
    'closes' => function (Event $e, Reply $r) { $r->send('bye')->close(); },
    'forgets JSON' => function (Event $e, Reply $r) { $r->json($e->json()); },
    'dies' => function () { die('db down'); },
    'stream' => function (Event $e, Reply $r) { $r->stream(['a', '', ['b' => "\n"], 7, null, "c\nd\r\ne\rf", ' g'])->interruptible()->close(4000, 'done'); },
    'empty stream' => function (Event $e, Reply $r) { $r->stream([]); },
    'stream that throws at once' => function (Event $e, Reply $r) { $r->stream((function () { throw new Exception('early'); yield 1; })()); },
    'stream that throws' => function (Event $e, Reply $r) { $r->stream((function () { yield 'a'; throw new Exception('late'); })())->close(1000); },
    'stream out of memory' => function (Event $e, Reply $r) { $r->stream((function () { yield 'a'; str_repeat('x', 1 << 30); })()); },
    'stream that prints' => function (Event $e, Reply $r) { $r->stream((function () { echo "data: x\n\n"; yield 'a'; echo "data: y\n\n"; yield 'b'; echo "data: z\n\n"; })()); },
    'stream of what is no text' => function (Event $e, Reply $r) { $r->stream(['a', "\xff"]); },
    'stream that closes' => function (Event $e, Reply $r) { $r->stream((function () use ($r) { yield 'a'; $r->close(4002, 'enough'); })()); },
    'stream that binds too late' => function (Event $e, Reply $r) { $r->stream((function () use ($r) { yield 'a'; $r->user('1'); })()); },
    'listens' => function (Event $e, Reply $r) { $r->subscribe('a', 'room:1')->subscribe('c')->unsubscribe('b')->unsubscribe('d')->send('x'); },
    'listens to nothing more' => function (Event $e, Reply $r) { $r->unsubscribe('b', '*')->subscribe('a'); },
    'lists of none' => function (Event $e, Reply $r) { $r->subscribe(...[])->unsubscribe(...[])->send('x'); },
    'publishes' => function (Event $e, Reply $r) { $r->publish('room:1')->publish('room:2')->send('x'); },
    'publishes as well' => function (Event $e, Reply $r) { $r->send('x')->publish('a')->excludeSelf()->alsoReply(); },
    'accepts and publishes' => function (Event $e, Reply $r) { $r->accept()->subscribe('a')->publish('a')->json(['came' => 1]); },
    'publishes without accept' => function (Event $e, Reply $r) { $r->subscribe('a')->publish('a')->send('secret'); },
    'publishes a stream' => function (Event $e, Reply $r) { $r->publish('a')->stream(['b']); },
    'publishes nothing' => function (Event $e, Reply $r) { $r->publish('a'); },
    'excludes from nothing' => function (Event $e, Reply $r) { $r->excludeSelf()->send('x'); },
    'says that it left' => function (Event $e, Reply $r) { $r->publish('a')->send('left'); },
    'an injected user' => function (Event $e, Reply $r) { $r->user("42\r\nWS-Accept: yes")->accept(); },
];

$script = new WsFpm\Script;
foreach (explode(',', $_SERVER['HANDLERS'] ?? $_SERVER['WS_EVENT'] ?? 'message') as $event) {
    $script->$event($cases[$_SERVER['CASE'] ?? 'nothing']);
}
$script->run();
