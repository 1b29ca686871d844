package record

import "time"

// Macau is where days, weeks and nights begin. It has no daylight saving.
var Macau = time.FixedZone("Asia/Macau", 8*3600)
