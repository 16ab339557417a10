<?php
// What the chat's scripts share: which rooms there are and whom for, and who is
// signed in. A real site asks its database all of that.

const ROOMS = ['lobby' => null, 'garden' => null, 'staff' => ['ada', 'grace']]; // null: for everybody

function may_enter(?string $name, string $room): bool
{
    return $name !== null && array_key_exists($room, ROOMS) && in_array(strtolower($name), ROOMS[$room] ?? [strtolower($name)], true);
}

/** Reads the session without keeping its lock, for others of this visitor would wait for it. */
function visitor(): ?string
{
    $_SESSION = [];
    if (isset($_COOKIE[session_name()])) {
        session_start(['read_and_close' => true]);
    }
    return $_SESSION['name'] ?? null;
}
