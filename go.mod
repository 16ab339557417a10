module ws-fpm

go 1.26.0
