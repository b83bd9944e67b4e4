"""The tutorial that everybody starts from: REST, synchronous SQLAlchemy, pyotp; password and secret in plain."""

from collections.abc import Iterator
from typing import Annotated

import pyotp
from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine("sqlite:///./users.db", connect_args={"check_same_thread": False})
SessionLocal = sessionmaker(autocommit=False, autoflush=False, bind=engine)


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True, index=True)
    username: Mapped[str] = mapped_column(unique=True, index=True)
    password: Mapped[str]
    otp_secret: Mapped[str]


Base.metadata.create_all(engine)
app = FastAPI()


def get_db() -> Iterator[Session]:
    db = SessionLocal()
    try:
        yield db
    finally:
        db.close()


Database = Annotated[Session, Depends(get_db)]


def find(db: Session, username: str) -> User | None:
    return db.query(User).filter(User.username == username).first()


@app.post("/register")
def register(username: str, password: str, db: Database) -> dict[str, str]:
    if find(db, username):
        raise HTTPException(400, "Username already registered")
    user = User(username=username, password=password, otp_secret=pyotp.random_base32())
    db.add(user)
    db.commit()
    db.refresh(user)
    return {"message": "User registered", "otp_secret": user.otp_secret}


@app.post("/login")
def login(username: str, password: str, db: Database) -> dict[str, str]:
    user = find(db, username)
    if user is None or user.password != password:
        raise HTTPException(401, "Invalid credentials")
    return {"message": "OTP required"}


@app.post("/verify-otp")
def verify_otp(username: str, otp: str, db: Database) -> dict[str, str]:
    user = find(db, username)
    if user is None or not pyotp.TOTP(user.otp_secret).verify(otp):
        raise HTTPException(401, "Invalid OTP")
    return {"message": "Login successful"}
