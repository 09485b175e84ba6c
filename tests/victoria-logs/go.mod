module example.test/bailiwick-victoria-logs

go 1.26.0

require github.com/VictoriaMetrics/VictoriaMetrics v1.121.0
