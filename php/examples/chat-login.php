<?php
// Signs in to the chat, or out with an empty name. It believes any name: a real
// one would ask for a password.

require_once __DIR__ . '/../WsFpm.php';

session_start(['use_strict_mode' => true, 'cookie_httponly' => true, 'cookie_samesite' => 'Lax']);
if ($_SERVER['REQUEST_METHOD'] !== 'POST' || ($_SERVER['HTTP_SEC_FETCH_SITE'] ?? 'same-origin') !== 'same-origin') {
    http_response_code(403);
    exit;
}
$before = $_SESSION['name'] ?? null;
$name = is_string($_POST['name'] ?? null) ? trim($_POST['name']) : '';
$good = preg_match('/\A[^\p{C}]{1,24}\z/u', $name) === 1;
session_regenerate_id(true); // an id from before the login may be known to others
$_SESSION = $good ? ['name' => $name] : [];
session_write_close();
if ($before !== null) {
    try {
        (new WsFpm\Api)->closeUser($before, 4401, 'Signed out.'); // in all windows
    } catch (Exception $e) {
        error_log($e->getMessage()); // who is signed out is so nevertheless, and heard no more
    }
}
http_response_code($good || $name === '' ? 204 : 422);
