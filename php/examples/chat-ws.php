<?php
// A chat with rooms, for who has signed in at chat-login.php. The page is chat.html.
//     [route /chat/ws]
//     script = /path/to/examples/chat-ws.php
//     events = connect, message, disconnect

require_once __DIR__ . '/../WsFpm.php';
require_once __DIR__ . '/chat-rooms.php';
require_once __DIR__ . '/chat-present.php';

function names(array $here, string $room): array
{
    return array_values(array_unique(array_column(array_filter($here, fn($c) => $c['room'] === $room), 'name')));
}

$name = visitor();
(new WsFpm\Script)
    ->start(fn(WsFpm\Event $event) => present(fn($here) => array_filter($here, fn($c) => $c['boot'] === $event->boot)))
    ->connect(function (WsFpm\Event $event, WsFpm\Reply $reply) use ($name) {
        $room = is_string($_GET['room'] ?? null) ? $_GET['room'] : '';
        if (!may_enter($name, $room)) { // the page is told why only if it is let in and closed
            $name === null ? $reply->accept()->close(4401, 'Sign in first.') : $reply->accept()->close(4403, 'This room is not open to you.');
            return;
        }
        $state = present(fn($here) => $here + [$event->id => ['name' => $name, 'room' => $room, 'boot' => $event->boot]]);
        $reply->accept()->user($name)->set('room', $room)->subscribe("chat/$room")->publish("chat/$room")->excludeSelf()->alsoReply()
            ->json(['came' => $name, 'n' => $state['n'], 'here' => names($state['here'], $room)]);
    })->message(function (WsFpm\Event $event, WsFpm\Reply $reply) use ($name) {
        $room = $event->attr('room', '');
        if ($name !== $event->user || !may_enter($name, $room)) { // signed out meanwhile, or no longer welcome
            $reply->close($name === $event->user ? 4403 : 4401, 'You may not speak here any more.');
        } elseif ($event->opcode === 'text' && strlen($event->body) <= 2000) {
            $reply->publish("chat/$room")->json(['from' => $name, 'text' => $event->body, 'at' => time()]);
        }
    })->disconnect(function (WsFpm\Event $event, WsFpm\Reply $reply) {
        $state = present(fn($here) => array_diff_key($here, [$event->id => 0]));
        if (($room = $event->attr('room')) !== null) {
            $reply->publish("chat/$room")->json(['left' => $event->user, 'n' => $state['n'], 'here' => names($state['here'], $room)]);
        }
    })->run();
