package archive

func child(dir string) {}
