<?php
// Lets in who has signed in at login.php, by the same session cookie.
//
//     [route /ws]
//     script = /path/to/examples/login-ws.php
//     events = connect, message

require_once __DIR__ . '/../WsFpm.php';

// Reads the session without keeping its lock: the site's pages, and other
// connections of the same visitor, would have to wait for it.
$_SESSION = [];
if (isset($_COOKIE[session_name()])) {
    session_start(['read_and_close' => true]);
}
$name = $_SESSION['name'] ?? null;

(new WsFpm\Script)
    ->connect(function (WsFpm\Event $event, WsFpm\Reply $reply) use ($name) {
        if ($name !== null) {
            $reply->accept()->user($name)->json(['hello' => $name]);
        } elseif (isset($_SERVER['HTTP_ORIGIN'])) {
            // A browser tells its page nothing of a refusal, but why a
            // connection was closed.
            $reply->accept()->close(4401, 'sign in first');
        } else {
            $reply->reject(401, "Sign in first.\n");
        }
    })
    ->message(function (WsFpm\Event $event, WsFpm\Reply $reply) use ($name) {
        if ($name === null || $name !== $event->user) {
            $reply->close(4401, 'signed out'); // meanwhile, in another window
            return;
        }
        $reply->json(['name' => $name, 'session' => substr(hash('sha256', session_id()), 0, 8), 'text' => $event->body]);
    })
    ->run();
