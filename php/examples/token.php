<?php
// Lets in who brings a signed token. A page cannot add headers to a WebSocket,
// and an address ends up in logs; so the token is one of the subprotocols:
//
//     new WebSocket('wss://example.org/ws', ['chat', 'token.' + token])
// The page has the token from a script of the site that calls token_for().
//     [route /ws]
//     script = /path/to/examples/token.php
//     events = connect, message
// and in php-fpm's pool: env[WS_TOKEN_SECRET] = "32 random bytes, in hex"

require_once __DIR__ . '/../WsFpm.php';

function token_for(string $user, int $expires): string
{
    $secret = (string) getenv('WS_TOKEN_SECRET');
    if (strlen($secret) < 32) {
        throw new RuntimeException('WS_TOKEN_SECRET is not set, or short');
    }
    $claim = bin2hex($user) . '.' . $expires; // a subprotocol has few other characters
    return $claim . '.' . hash_hmac('sha256', $claim, $secret);
}

(new WsFpm\Script)
    ->connect(function (WsFpm\Event $event, WsFpm\Reply $reply) {
        foreach (preg_grep('/\Atoken\.([0-9a-f]{2})+\.[0-9]{1,10}\.[0-9a-f]{64}\z/', $event->offered()) as $offer) {
            [, $user, $expires] = explode('.', $offer);
            $left = (int) $expires - time();
            $signed = hash_equals('token.' . token_for(hex2bin($user), (int) $expires), $offer);
            if ($signed && $left > 0 && in_array('chat', $event->offered(), true)) {
                $reply->accept('chat')->user(hex2bin($user))->expire($left);
                return;
            }
        }
        $reply->reject(401, "No valid token.\n");
    })
    ->message(function (WsFpm\Event $event, WsFpm\Reply $reply) {
        $reply->json(['user' => $event->user, 'text' => $event->body]);
    })
    ->run();
